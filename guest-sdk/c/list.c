// A list in the configuration: an array of strings in JSON (RFC 8259), or one
// string with commas.
#include "abi.h"

#include <string.h>

static const char BLANKS[] = " \t\n\v\f\r";

// Four hexadecimal digits. -1: they aren't.
static long read_unit(const char *at) {
  long unit = 0;
  for (int i = 0; i < 4; i++) {
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *digit = at[i] ? strchr(digits, at[i]) : NULL;
    if (!digit) {
      return -1;
    }
    unit = unit * 16 + (digit - digits) % 16;
  }
  return unit;
}

// Reads what is behind `\u`, and writes it in UTF-8. NULL: it is no character, or
// a NUL, which would end the text.
static const char *read_character(const char *from, char **to) {
  long code = read_unit(from);
  if (code <= 0 || (code >= 0xdc00 && code < 0xe000)) {
    return NULL;
  }
  from += 4;
  if (code >= 0xd800 && code < 0xdc00) {
    long low = from[0] == '\\' && from[1] == 'u' ? read_unit(from + 2) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
      return NULL;
    }
    from += 6;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  char *end = *to;
  if (code < 0x80) {
    *end++ = (char)code;
  } else {
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    *end++ = (char)(first[more] | (code >> (6 * more)));
    while (more--) {
      *end++ = (char)(0x80 | ((code >> (6 * more)) & 0x3f));
    }
  }
  *to = end;
  return from;
}

// Reads a string behind its first quotation mark, and writes it with a NUL, which
// is no more than there was. Gives what is behind it. NULL: it is no string.
static const char *read_string(const char *from, char **to) {
  for (;;) {
    unsigned char c = (unsigned char)*from++;
    if (c == '"') {
      *(*to)++ = 0;
      return from;
    }
    if (c < 0x20) {
      return NULL;
    }
    if (c != '\\') {
      *(*to)++ = (char)c;
      continue;
    }
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char escape = *from++;
    if (escape == 'u') {
      from = read_character(from, to);
      if (!from) {
        return NULL;
      }
      continue;
    }
    const char *found = escape ? strchr(escapes, escape) : NULL;
    if (!found) {
      return NULL;
    }
    *(*to)++ = meanings[found - escapes];
  }
}

static char *trimmed(char *text) {
  text += strspn(text, BLANKS);
  for (size_t count = strlen(text); count && strchr(BLANKS, text[count - 1]);) {
    text[--count] = 0;
  }
  return text;
}

static const char *skip_blanks(const char *at) { return at + strspn(at, " \t\n\r"); }

// Reads an array behind its bracket. Gives how many items it has, -1: it is no
// array of strings.
static long read_array(const char *at, char *to, const char **items) {
  long count = 0;
  at = skip_blanks(at);
  if (*at != ']') {
    for (;;) {
      char *item = to;
      if (*at != '"' || !(at = read_string(at + 1, &to))) {
        return -1;
      }
      items[count++] = trimmed(item);
      at = skip_blanks(at);
      if (*at != ',') {
        break;
      }
      at = skip_blanks(at + 1);
    }
  }
  return *at == ']' && !*skip_blanks(at + 1) ? count : -1;
}

static long read_commas(char *text, const char **items) {
  long count = 0;
  while (text) {
    char *comma = strchr(text, ',');
    if (comma) {
      *comma = 0;
    }
    char *item = trimmed(text);
    if (*item) {
      items[count++] = item;
    }
    text = comma ? comma + 1 : NULL;
  }
  return count;
}

bool sym_config_list(const char *key, sym_texts *list) {
  *list = (sym_texts){0};
  const char *value = sym_config(key);
  if (!value) {
    return true;
  }
  // As many items as there are commas, and one more, at the most; and no more text
  // than there is.
  size_t most = 1;
  for (const char *c = value; *c; c++) {
    most += *c == ',';
  }
  const char **items = abi_allocate(most * sizeof *items);
  char *text = trimmed(sym_text("%s", value));
  long count = *text == '[' ? read_array(text + 1, sym_text("%s", value), items)
               : *text == '{' ? -1
                              : read_commas(text, items);
  if (count < 0) {
    sym_failed("invalid-config", "config `%s` has to be a list of strings", key);
    return false;
  }
  *list = (sym_texts){items, (size_t)count, true};
  return true;
}

bool sym_require_list(const char *key, sym_texts *list) {
  if (!sym_config_list(key, list)) {
    return false;
  }
  if (!list->count) {
    sym_failed("invalid-config",
               "config `%s` is missing or empty, list at least one value in `plugins.toml`", key);
    return false;
  }
  return true;
}

bool sym_is_in_any(sym_email email, sym_texts domains) {
  for (size_t i = 0; i < domains.count; i++) {
    if (sym_is_in(email, domains.items[i])) {
      return true;
    }
  }
  return false;
}

const char *sym_join(sym_texts list, const char *between) {
  const char *text = "";
  for (size_t i = 0; i < list.count; i++) {
    text = sym_text("%s%s%s", text, i ? between : "", list.items[i]);
  }
  return text;
}
