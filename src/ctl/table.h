/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A table of any number of rows, in columns as wide as their widest cell. The cells are made twice, once for their
 * width, so that no text of a row is kept.
 */
#include "ctl/terminal.h"

enum { TABLE_CELL_MAX = 160, TABLE_COLUMNS_MAX = 16 };

typedef struct TableColumn {
        const char *title;
        bool right; /* numbers */
        void (*write)(char cell[static TABLE_CELL_MAX], const void *row, const void *context);
        Shade (*shade)(const void *row); /* NULL: plain */
} TableColumn;

typedef struct Table {
        const TableColumn *columns;
        size_t n_columns;
        const void *rows; /* one behind the other, `stride` bytes each */
        size_t n_rows, stride;
        const void *context;
        bool no_titles;
        unsigned width; /* of a line at most, in characters; 0: any */
} Table;

void table_print(const Table *table, const Terminal *terminal, FILE *to);
