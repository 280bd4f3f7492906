/* test_fields.c - the text of a struct is understood as the compiler understood
 * the struct, or refused with a sentence; and no text does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/carry.h"
#include "actor/layout.h"
#include "support/support.h"

#define SKU_MAX 24

SF_STRUCT(plain, uint64_t free, reserved; char shelf[8];);
SF_STRUCT(holes, char c; double d; uint8_t one; uint16_t two; int8_t s;
          int64_t last; bool on;);
SF_STRUCT(
    deep, char c; struct {
      char sku[SKU_MAX];
      uint32_t count;
      double price;
    } goods[2],
                  best;
    uint16_t a, b[3]; float grid[2][3]; struct {
      struct {
        uint8_t x;
      } in;
    } out;);

static struct sfi_fields *parsed(const char *text) {
  struct sfi_fields *fields = NULL;
  OK(sfi_fields_parse(sfi_sys_default(), text, &fields));
  return fields;
}

static void dropped(struct sfi_fields *fields) {
  sfi_free(sfi_sys_default(), fields);
}

/* The field that a path of names leads to, and *at where it lies in the whole
 * struct. */
static const struct sfi_field *field_at(const struct sfi_fields *fields,
                                        const char *path, size_t *at) {
  const struct sfi_field *found = NULL;
  uint16_t first = fields->first;
  *at = 0;
  while (*path) {
    size_t size = strcspn(path, ".");
    for (found = NULL; first && !found; first = fields->all[first].next)
      if (fields->all[first].name_size == size &&
          memcmp(fields->all[first].name, path, size) == 0)
        found = &fields->all[first];
    if (!found)
      return NULL;
    *at += found->at;
    first = found->first;
    path += size + (path[size] == '.');
  }
  return found;
}

#define IS_AT(fields, tag, path)                                               \
  do {                                                                         \
    size_t at_;                                                                \
    const struct sfi_field *field_ = field_at(fields, #path, &at_);            \
    assert_non_null(field_);                                                   \
    assert_int_equal(at_, offsetof(struct tag, path));                         \
    assert_int_equal((size_t)field_->count * field_->inner * field_->size,     \
                     sizeof(((struct tag *)0)->path));                         \
  } while (0)

static void fields_lie_where_the_compiler_puts_them(void **state) {
  (void)state;
  struct sfi_fields *fields = parsed(plain_fields);
  assert_int_equal(fields->size, sizeof(struct plain));
  IS_AT(fields, plain, free);
  IS_AT(fields, plain, reserved);
  IS_AT(fields, plain, shelf);
  dropped(fields);
  fields = parsed(holes_fields);
  assert_int_equal(fields->size, sizeof(struct holes));
  IS_AT(fields, holes, d);
  IS_AT(fields, holes, two);
  IS_AT(fields, holes, s);
  IS_AT(fields, holes, last);
  IS_AT(fields, holes, on);
  dropped(fields);
}

static void structs_within_and_arrays_too(void **state) {
  (void)state;
  size_t at;
  struct sfi_fields *fields = parsed(deep_fields);
  assert_int_equal(fields->size, sizeof(struct deep));
  IS_AT(fields, deep, goods);
  IS_AT(fields, deep, best);
  IS_AT(fields, deep, best.price);
  IS_AT(fields, deep, a);
  IS_AT(fields, deep, b);
  IS_AT(fields, deep, grid);
  IS_AT(fields, deep, out.in.x);
  const struct sfi_field *price = field_at(fields, "goods.price", &at);
  assert_int_equal(at, offsetof(struct deep, goods[0].price));
  assert_int_equal(price->size, sizeof(double));
  dropped(fields);
}

static void what_is_not_understood_is_named(void **state) {
  (void)state;
  static const struct {
    const char *text, *says;
  } cases[] = {
      {"void *pointer;", "'void *pointer"},
      {"int number;", "'int number"},
      {"uint32_t;", "a name"},
      {"uint32_t bits : 3;", "':"},
      {"uint32_t a", "';'"},
      {"uint32_t a[];", "a decimal number"},
      {"uint32_t a[0];", "a decimal number"},
      {"uint32_t a[010];", "a decimal number"},
      {"uint32_t a[2 * 3];", "']'"},
      {"struct other o;", "written out"},
      {"struct { } nothing;", "type"},
      {"struct { uint8_t a; ", "'}'"},
      {"uint8_t a; }", "type"},
      {"", "type"},
      {"uint8_t a[1048577];", "at most 1048576 bytes"},
      {"uint8_t a[1048576], b;", "at most 1048576 bytes"},
      {"uint64_t a[1024][1024];", "at most 1048576 bytes"},
      {"uint8_t a[99999999999999999999];", "at most 1048576 bytes"},
      {"uint8_t a[65536][65536][65536][65536];", "at most 1048576 bytes"},
      {"struct{struct{struct{struct{struct{struct{struct{struct{struct{uint8_t "
       "x;"
       "}a;}b;}c;}d;}e;}f;}g;}h;}i;",
       "deep"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sfi_fields *fields = NULL;
    REFUSED(sfi_fields_parse(sfi_sys_default(), cases[i].text, &fields),
            SF_EINVAL);
    SAYS(cases[i].says);
  }
  char long_name[100] = "uint8_t ";
  memset(long_name + 8, 'a', 70);
  strcpy(long_name + 78, ";");
  struct sfi_fields *fields = NULL;
  REFUSED(sfi_fields_parse(sfi_sys_default(), long_name, &fields), SF_EINVAL);
  SAYS("name has at most");
  char *long_text = malloc(SF_FIELDS_MAX + 2);
  memset(long_text, ' ', SF_FIELDS_MAX + 1);
  long_text[SF_FIELDS_MAX + 1] = 0;
  REFUSED(sfi_fields_parse(sfi_sys_default(), long_text, &fields), SF_EINVAL);
  SAYS("4095 characters");
  free(long_text);
}

static void the_same_fields_written_in_another_way_are_the_same(void **state) {
  (void)state;
  struct sfi_fields *a = parsed("uint64_t a, b; struct { char c; } d, e[2];"),
                    *b, *c, *d;
  b = parsed(
      "uint64_t a;uint64_t  b;;struct{char c;}d; struct { char c; } e[2];");
  c = parsed("uint64_t a, b; struct { char x; } d, e[2];");
  d = parsed("uint64_t b, a; struct { char c; } d, e[2];");
  assert_true(sfi_fields_are_equal(a, b));
  assert_false(sfi_fields_are_equal(a, c));
  assert_false(sfi_fields_are_equal(a, d));
  dropped(a);
  dropped(b);
  dropped(c);
  dropped(d);
}

/* Every field with all its elements inside of what is around it. */
static uint64_t walk(const struct sfi_fields *fields, uint16_t first,
                     uint64_t size) {
  uint64_t count = 0;
  for (uint16_t i = first; i; i = fields->all[i].next, count++) {
    const struct sfi_field *field = &fields->all[i];
    assert_in_range(i, 1, fields->count);
    assert_true(field->at +
                    (uint64_t)field->size * field->inner * field->count <=
                size);
    assert_true((field->kind == SFI_FIELD_STRUCT) == (field->first != 0));
    count += walk(fields, field->first, field->size);
  }
  return count;
}

static void no_text_does_harm(void **state) {
  (void)state;
  static const char *const pieces[] = {
      "uint8_t ", "uint64_t ", "double ",    "char ",  "bool ",   "float ",
      "struct {", "struct{",   "}",          "} ",     ";",       "; ",
      ",",        "a",         "b_",         "c1",     "[",       "]",
      "[2]",      "[3]",       "[1024]",     "[0]",    " ",       "int ",
      "*",        ":3",        "[7",         "\377",   "\\",      "struct x",
      "}y;",      "_Bool ",    "int32_t q;", "}z[4];", "99999999"};
  static const char *const whole[] = {"uint8_t a;", "struct { double b_; } z;",
                                      "int32_t x[3], y;", " char c1[5] ;"};
  enum { WHOLE = sizeof whole / sizeof *whole };
  enum { PIECES = sizeof pieces / sizeof *pieces, ROUNDS = 200000 };
  struct sfi_fields *old =
      parsed("struct { int32_t q; double a; } z; uint8_t b_; bool c1;");
  uint64_t seed = 7, understood = 0;
  for (int round = 0; round < ROUNDS; round++) {
    char text[400] = "";
    size_t size = 0;
    for (int parts = 0; parts < 24 && size < 360; parts++) {
      seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
      const char *piece = pieces[(seed >> 33) % PIECES];
      if (round % 2 && (seed >> 20) % 16) /* mostly well made */
        piece = whole[(seed >> 33) % WHOLE];
      memcpy(text + size, piece, strlen(piece) + 1);
      size += strlen(piece);
    }
    char *exact = strdup(text); /* so that a sanitizer sees who reads past it */
    struct sfi_fields *fields = NULL;
    int rc = sfi_fields_parse(sfi_sys_default(), exact, &fields);
    assert_true(rc == 0 || rc == SF_EINVAL);
    if (rc == 0) {
      understood++;
      walk(fields, fields->first, fields->size);
      (void)sfi_carry_check(old, fields);
      dropped(fields);
    }
    free(exact);
  }
  assert_true(understood > ROUNDS / 20);
  dropped(old);
}

/* As many fields as 4095 characters can have, each level with as many as the
 * last: no more work than bytes. */
static void fields_that_multiply_end_at_the_size_of_a_struct(void **state) {
  (void)state;
  char text[SF_FIELDS_MAX + 1] = "";
  size_t size = 0;
  for (int i = 0; i < 7; i++)
    size += (size_t)sprintf(text + size, "struct{");
  size += (size_t)sprintf(text + size, "uint8_t x;");
  for (int i = 0; i < 7; i++) {
    size += (size_t)sprintf(text + size, "}");
    for (int name = 0; name < 7; name++)
      size += (size_t)sprintf(text + size, "%s%c", name ? "," : "", 'a' + name);
    size += (size_t)sprintf(text + size, ";");
  }
  struct sfi_fields *fields = parsed(text);
  assert_int_equal(fields->size, 823543); /* 7 to the 7th */
  assert_true(fields->count < 60);
  assert_true(sfi_fields_are_equal(fields, fields));
  OK(sfi_carry_check(fields, fields));
  dropped(fields);
}

/* -- carried over
 * ----------------------------------------------------------------------------------
 */

SF_STRUCT(one, float celsius, limit; uint32_t at_s, gone; int8_t delta;
          uint16_t hits[2];);
SF_STRUCT(two, uint8_t fresh; float limit; double celsius; int64_t at_s;
          int32_t delta; uint32_t hits[3];);

static void fields_are_carried_over_by_name_and_become_wider(void **state) {
  (void)state;
  struct sfi_fields *from = parsed(one_fields), *to = parsed(two_fields);
  struct one old = {.celsius = 21.5f,
                    .limit = 30,
                    .at_s = UINT32_MAX,
                    .gone = 1,
                    .delta = -5,
                    .hits = {1, 65535}};
  struct two new = {0};
  OK(sfi_carry_check(from, to));
  sfi_carry(from, &old, to, &new);
  assert_true(new.celsius == 21.5 && new.limit == 30);
  assert_true(new.at_s == UINT32_MAX &&new.delta == -5 && new.fresh == 0);
  assert_true(new.hits[0] == 1 && new.hits[1] == 65535 && new.hits[2] == 0);
  dropped(from);
  dropped(to);
}

SF_STRUCT(
    shelf_old,
    struct {
      char sku[4];
      uint8_t n;
    } goods[2];
    uint8_t grid[2][3];);
SF_STRUCT(
    shelf_new, uint64_t id; struct {
      uint16_t n;
      char sku[6];
      bool sold;
    } goods[3];
    uint8_t grid[4][3];);

static void elements_of_structs_are_carried_over_one_by_one(void **state) {
  (void)state;
  struct sfi_fields *from = parsed(shelf_old_fields),
                    *to = parsed(shelf_new_fields);
  struct shelf_old old = {{{"abc", 1}, {"defg", 2}}, {{1, 2, 3}, {4, 5, 6}}};
  struct shelf_new new = {0};
  OK(sfi_carry_check(from, to));
  sfi_carry(from, &old, to, &new);
  assert_string_equal(new.goods[0].sku, "abc");
  assert_memory_equal(new.goods[1].sku, "defg\0", 6);
  assert_true(new.goods[0].n == 1 && new.goods[1].n == 2 &&
              new.goods[2].n == 0);
  assert_true(new.grid[1][2] == 6 && new.grid[2][0] == 0);
  dropped(from);
  dropped(to);
}

static void what_would_lose_anything_is_refused_and_named(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *says;
  } cases[] = {
      {"uint64_t n;", "uint32_t n;", "'n' was uint64_t and is uint32_t"},
      {"uint32_t n;", "int32_t n;", "'n' was uint32_t and is int32_t"},
      {"int8_t n;", "uint64_t n;", "'n' was int8_t and is uint64_t"},
      {"double n;", "float n;", "'n' was double and is float"},
      {"uint32_t n;", "float n;", "'n' was uint32_t and is float"},
      {"char n[4];", "uint8_t n[4];", "'n' was char and is uint8_t"},
      {"char n[8];", "char n[4];", "had 8 elements and has 4"},
      {"uint8_t n[2][3];", "uint8_t n[2][4];", "inner dimensions"},
      {"struct { uint8_t x; } n;", "uint8_t n;", "'n' was a struct"},
      {"struct { struct { uint16_t x; } in; } n;",
       "struct { struct { uint8_t x; } in; } n;", "'x' was uint16_t"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sfi_fields *from = parsed(cases[i].from), *to = parsed(cases[i].to);
    REFUSED(sfi_carry_check(from, to), SF_EINVAL);
    SAYS(cases[i].says);
    dropped(from);
    dropped(to);
  }
}

/* Whatever a row says, nothing past it is read. */
static void
bytes_that_are_not_of_that_version_are_not_carried_over(void **state) {
  (void)state;
  const struct sfi_sys *sys = sfi_sys_default();
  const struct sfi_shape shape = {.who = "type 'test/a'",
                                  .migrate_name = "state_migrate",
                                  .fields = "uint64_t n;",
                                  .size = 8,
                                  .version = 1};
  struct sfi_layouts layouts = {NULL, NULL};
  struct sfi_layout *fresh = NULL;
  uint32_t old = 7;
  uint64_t n = 0;
  OK(sfi_layouts_add(sys, &layouts, 0, sf_str("uint32_t n;")));
  OK(sfi_layout_new(sys, &shape, &fresh));
  assert_int_equal(sfi_layouts_bind(sys, &layouts, fresh, 0), 0);
  OK(sfi_layouts_carry(&layouts, &shape, 0, SF_OF(old), &n));
  assert_true(n == 7);
  REFUSED(sfi_layouts_carry(&layouts, &shape, 0, SF_BYTES(&old, 3), &n),
          SF_EFAILED);
  SAYS("type 'test/a': the fields of version 0");
  REFUSED(sfi_layouts_carry(&layouts, &shape, 0, SF_BYTES("12345", 5), &n),
          SF_EFAILED);
  REFUSED(sfi_layouts_carry(&layouts, &shape, 2, SF_OF(old), &n), SF_EFAILED);
  sfi_layouts_raise(&layouts);
  sfi_layouts_free(sys, &layouts);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fields_lie_where_the_compiler_puts_them),
      cmocka_unit_test(structs_within_and_arrays_too),
      cmocka_unit_test(what_is_not_understood_is_named),
      cmocka_unit_test(the_same_fields_written_in_another_way_are_the_same),
      cmocka_unit_test(no_text_does_harm),
      cmocka_unit_test(fields_that_multiply_end_at_the_size_of_a_struct),
      cmocka_unit_test(fields_are_carried_over_by_name_and_become_wider),
      cmocka_unit_test(elements_of_structs_are_carried_over_one_by_one),
      cmocka_unit_test(what_would_lose_anything_is_refused_and_named),
      cmocka_unit_test(bytes_that_are_not_of_that_version_are_not_carried_over),
  };
  return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
