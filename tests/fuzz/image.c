/* SPDX-License-Identifier: MIT */
/*
 * What a process before us left behind, or whoever says so. The input is an image as it lies in the file, but for what
 * is zero in any honest one of the corpus: it is cut in parts that each say where they belong, or an image would be a
 * file of 120 KiB. Each part is its offset (4 bytes), its length (2 bytes) and its bytes; the first 4 bytes of all are
 * the size of the image. Bit 31 of a part's offset: the header is sealed then, so that what is behind the seal is met.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "state/image.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { SIZE_MAX_IMAGE = 1 << 18 };

static void expect(bool true_always)
{
        if (!true_always)
                abort();
}

static uint32_t number(const unsigned char *bytes, size_t n)
{
        uint32_t value = 0;

        memcpy(&value, bytes, n);
        return le32toh(value);
}

/* The bytes of an image, to be freed: nothing behind them may be read. NULL: there are none. */
static unsigned char *unfold(const unsigned char *data, size_t size, size_t *ret_size)
{
        unsigned char *bytes;
        size_t n;

        if (size < 4 || (n = number(data, 4)) > SIZE_MAX_IMAGE)
                return NULL;
        bytes = calloc(1, n > 0 ? n : 1);
        expect(bytes);
        for (size_t at = 4; size - at >= 6;) {
                uint32_t offset = number(data + at, 4) & 0x7fffffff, length = number(data + at + 4, 2);
                bool sealed = number(data + at, 4) >> 31;

                at += 6;
                if (length > size - at || offset > n || length > n - offset)
                        break;
                memcpy(bytes + offset, data + at, length);
                at += length;
                if (sealed && n >= sizeof(ImageHeader) &&
                    ((const ImageHeader *)(void *)bytes)->n_listeners <= IMAGE_LISTENERS_MAX)
                        image_seal((ImageHeader *)(void *)bytes);
        }
        *ret_size = n;
        return bytes;
}

static void check_record(const Image *image, uint32_t i)
{
        const SessionRecord *record = image_record(image, i);
        SessionRecord copy;
        const ImageListener *listener;

        expect(i < image->n || !record);
        if (!record)
                return;
        memcpy(&copy, record, sizeof(copy)); /* all of it can be read */
        expect(copy.id != 0);
        (void)record_is_whole(&copy);
        listener = image_listener(image, &copy);
        if (!listener)
                return;
        expect(listener >= image->header->listeners &&
               listener < image->header->listeners + image->header->n_listeners);
        (void)image_name(image, listener->name);
}

static void check_names(const Image *image)
{
        for (unsigned i = 0; i < IMAGE_NAMES_MAX + 1; i++) {
                const ImageName *name = image_name(image, i);

                expect(!name || i < IMAGE_NAMES_MAX);
                expect(!name || strlen(name->name) <= IMAGE_NAME_MAX);
                expect(!name || image_upstream(name, "nowhere.example:51820").family == 0);
        }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
        size_t n = 0;
        unsigned char *bytes = unfold(data, size, &n);
        Image image;

        if (!bytes)
                return 0;
        if (n >= sizeof(ImageHeader)) {
                size_t wanted = 0;
                int r = image_size((const ImageHeader *)(void *)bytes, n, &wanted);

                expect(r < 0 ? wanted == 0 : wanted >= sizeof(ImageHeader) && wanted <= n);
        }
        if (image_open(&image, bytes, n) >= 0) {
                expect(n >= sizeof(ImageHeader));
                for (uint32_t i = 0; i < image.n; i++)
                        check_record(&image, i);
                check_record(&image, image.n);
                check_record(&image, UINT32_MAX);
                check_names(&image);
        }
        free(bytes);
        return 0;
}
