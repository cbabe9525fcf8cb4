#include "agent/kube/json.h"

namespace firn::kube {
namespace {

// Who set which field: most of many an object, and of no use here.
constexpr const char* kUnwanted = "managedFields";

const Json& null_value() {
  static const Json null;
  return null;
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  const Json::parser_callback_t cut_down = [](int, Json::parse_event_t event, Json& parsed) {
    return event != Json::parse_event_t::key || parsed != kUnwanted;
  };
  Json value = Json::parse(text, cut_down, false);
  if (value.is_discarded()) {
    return fail(ErrorCode::Corrupt, "the API server's answer is not JSON");
  }
  return value;
}

const Json& member(const Json& object, const char* name) {
  if (!object.is_object()) {
    return null_value();
  }
  const auto found = object.find(name);
  return found == object.end() ? null_value() : *found;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }
bool bool_of(const Json& value) { return value.is_boolean() && value.get<bool>(); }

std::optional<std::int64_t> number_of(const Json& value) {
  if (!value.is_number_integer()) {
    return std::nullopt;
  }
  return value.get<std::int64_t>();
}

std::vector<std::string> texts_of(const Json& value) {
  std::vector<std::string> texts;
  if (value.is_array()) {
    for (const Json& one : value) {
      texts.push_back(text_of(one));
    }
  }
  return texts;
}

Result<ListMeta> visit_items(std::string_view body, const std::function<Result<>(const Json& item)>& visit) {
  // The list is at depth 0, "items" at 1, an item at 2.
  constexpr int kItemDepth = 2;
  bool in_items = false;
  Result<> failure;
  const Json::parser_callback_t callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key) {
      if (depth == 1) {
        in_items = parsed == "items";
      }
      return parsed != kUnwanted;
    }
    if (event == Json::parse_event_t::object_end && depth == kItemDepth && in_items) {
      if (failure) {
        failure = visit(parsed);
      }
      return false;
    }
    return true;
  };
  const Json list = Json::parse(body, callback, false);
  if (!failure) {
    return Failure(std::move(failure).error());
  }
  if (list.is_discarded() || !list.is_object()) {
    return fail(ErrorCode::Corrupt, "the API server's answer is not a list");
  }
  return ListMeta{.resource_version = text_of(member(list, "metadata", "resourceVersion")),
                  .next = text_of(member(list, "metadata", "continue"))};
}

std::string to_text(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace firn::kube
