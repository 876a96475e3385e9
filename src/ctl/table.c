/* SPDX-License-Identifier: MIT */
/* Believes: each character takes one place on the screen; there are none but addresses and our own words here. */
#include <string.h>

#include "ctl/table.h"

typedef struct Line {
        const Terminal *terminal;
        FILE *to;
        unsigned left; /* places on this line */
} Line;

static unsigned places(const char *text)
{
        unsigned n = 0;

        for (; *text; text++)
                n += (*text & 0xc0) != 0x80;
        return n;
}

/* Writes as much as there is room for. */
static void line_put(Line *line, const char *text)
{
        for (; *text; text++) {
                if ((*text & 0xc0) != 0x80) {
                        if (line->left == 0)
                                return;
                        line->left--;
                }
                (void)fputc(*text, line->to);
        }
}

static void line_pad(Line *line, unsigned n)
{
        for (; n > 0; n--)
                line_put(line, " ");
}

static void line_cell(Line *line, const char *text, unsigned width, bool right, bool last, Shade shade)
{
        unsigned n = places(text), gap = width > n ? width - n : 0;

        if (right)
                line_pad(line, gap);
        if (shade != SHADE_PLAIN)
                (void)fputs(terminal_shade(line->terminal, shade), line->to);
        line_put(line, text);
        if (shade == SHADE_TITLE && !right && !last)
                line_pad(line, gap);
        if (shade != SHADE_PLAIN)
                (void)fputs(terminal_plain(line->terminal), line->to);
        if (!right && !last && shade != SHADE_TITLE)
                line_pad(line, gap);
        if (!last)
                line_put(line, "  ");
}

static const void *row_of(const Table *table, size_t i)
{
        return (const char *)table->rows + i * table->stride;
}

static void widths_find(const Table *table, unsigned widths[static TABLE_COLUMNS_MAX])
{
        char cell[TABLE_CELL_MAX];

        for (size_t c = 0; c < table->n_columns; c++)
                widths[c] = table->no_titles ? 0 : places(table->columns[c].title);
        for (size_t i = 0; i < table->n_rows; i++)
                for (size_t c = 0; c < table->n_columns; c++) {
                        unsigned n;

                        table->columns[c].write(cell, row_of(table, i), table->context);
                        n = places(cell);
                        widths[c] = n > widths[c] ? n : widths[c];
                }
}

void table_print(const Table *table, const Terminal *terminal, FILE *to)
{
        const unsigned width = table->width > 0 ? table->width : ~0U;
        unsigned widths[TABLE_COLUMNS_MAX];
        char cell[TABLE_CELL_MAX];

        widths_find(table, widths);
        if (!table->no_titles) {
                Line line = {terminal, to, width};

                for (size_t c = 0; c < table->n_columns; c++)
                        line_cell(&line, table->columns[c].title, widths[c], table->columns[c].right,
                                  c + 1 == table->n_columns, SHADE_TITLE);
                (void)fputc('\n', to);
        }
        for (size_t i = 0; i < table->n_rows; i++) {
                Line line = {terminal, to, width};
                const void *row = row_of(table, i);

                for (size_t c = 0; c < table->n_columns; c++) {
                        const TableColumn *column = &table->columns[c];

                        column->write(cell, row, table->context);
                        line_cell(&line, cell, widths[c], column->right, c + 1 == table->n_columns,
                                  column->shade ? column->shade(row) : SHADE_PLAIN);
                }
                (void)fputc('\n', to);
        }
}
