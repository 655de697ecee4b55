/*
 * json_structure - see json_structure.h.  The only C++ file: simdjson is a
 * C++ library.
 */
#include "libjson/json_structure.h"

#include <cerrno>
#include <memory>
#include <new>
#include <type_traits>

#include <simdjson.h>

/* json_structure_trim frees memory for texts that are longer. */
static constexpr size_t KEEP_BYTES = 1 * MIB;
static constexpr size_t FIRST_BYTES = 64 * KIB;

/*
 * simdjson's public interface builds a document, or reads one on demand.  The
 * positions alone come from its first stage, which is an internal interface.
 * These checks fail to compile with a version in which it is different.
 */
static_assert(simdjson::SIMDJSON_VERSION_MAJOR == 3,
              "this file uses the first stage of simdjson 3, which is not in "
              "its public interface: check that the new version has it, "
              "and what it returns, before changing this number");
using first_stage = simdjson::internal::dom_parser_implementation;
static_assert(std::is_same<decltype(first_stage::structural_indexes),
                           std::unique_ptr<uint32_t[]>>::value &&
                  std::is_same<decltype(first_stage::n_structural_indexes),
                               uint32_t>::value,
              "simdjson's first stage stores its positions in another way than "
              "this file reads them");

static_assert(JSON_STRUCTURE_PADDING >= simdjson::SIMDJSON_PADDING,
              "simdjson reads no further after a text than callers allow");

struct json_structure {
	std::unique_ptr<first_stage> parser;
};

json_structure *
json_structure_new(void)
{
	json_structure *s = new (std::nothrow) json_structure{};

	if (s &&
	    simdjson::get_active_implementation()
	        ->create_dom_parser_implementation(FIRST_BYTES, 1, s->parser)) {
		delete s;
		s = nullptr;
	}
	return s;
}

void
json_structure_free(json_structure *s)
{
	delete s;
}

/* Make room for the positions of a text of len bytes. */
static int
json_structure_make_room(json_structure *s, size_t len)
{
	size_t capacity = s->parser->capacity();

	if (len < capacity)
		return 0;
	if (capacity < FIRST_BYTES)
		capacity = FIRST_BYTES; /* an allocation failed before */
	while (capacity <= len)
		capacity *= 2;
	return s->parser->set_capacity(capacity) ? -ENOMEM : 0;
}

static const char *
json_structure_error(simdjson::error_code code)
{
	switch (code) {
	case simdjson::UTF8_ERROR:
		return "not valid UTF-8";
	case simdjson::UNESCAPED_CHARS:
		return "control characters in a string must be escaped";
	case simdjson::UNCLOSED_STRING:
		return "unterminated string";
	case simdjson::EMPTY:
		return "no JSON document";
	default:
		return simdjson::error_message(code);
	}
}

int
json_structure_find(json_structure *s, const char *text, size_t len,
                    const uint32_t **positions, const char **why)
{
	simdjson::error_code code;
	uint32_t *found;
	int rc = json_structure_make_room(s, len);

	if (rc < 0)
		return rc;
	code = s->parser->stage1(reinterpret_cast<const uint8_t *>(text), len,
	                         simdjson::stage1_mode::regular);
	if (code == simdjson::CAPACITY || code == simdjson::MEMALLOC)
		return -ENOMEM;
	if (code != simdjson::SUCCESS) {
		*why = json_structure_error(code);
		return -EBADMSG;
	}
	/* The first stage leaves room for this end mark. */
	found = s->parser->structural_indexes.get();
	found[s->parser->n_structural_indexes] = static_cast<uint32_t>(len);
	*positions = found;
	return 0;
}

int
json_structure_trim(json_structure *s)
{
	if (s->parser->capacity() <= KEEP_BYTES)
		return 0;
	return s->parser->set_capacity(FIRST_BYTES) ? -ENOMEM : 0;
}

bool
json_structure_utf8(const char *bytes, size_t n)
{
	return simdjson::validate_utf8(bytes, n);
}
