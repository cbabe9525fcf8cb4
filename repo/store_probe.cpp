#include "repo/store_probe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "repo/base/bytes.h"
#include "repo/base/task_group.h"
#include "repo/format/names.h"

namespace firn::repo {
namespace {

using store::ObjectName;
using store::Outcome;

// Not a multiple of any block, and long enough to pass through more than one buffer.
constexpr std::size_t kObjectBytes = 70'003;
constexpr std::size_t kSmallBytes = 41;
constexpr int kReplacements = 4;
constexpr int kReadsMax = 12;  // beside the replacements

/// An answer, or the reason to stop testing: silence and interruption prove nothing about the store.
bool ends_testing(const Error& error) {
  return error.code == ErrorCode::Unavailable || error.code == ErrorCode::Cancelled;
}

bool is_refusal(const Error& error) {
  return error.code == ErrorCode::Denied || error.code == ErrorCode::Exhausted;
}

Bytes random_bytes(base::Rng& rng, std::size_t size) {
  Bytes bytes(size);
  rng.fill(bytes);
  return bytes;
}

/// Objects of one probe: names that sort as their numbers do.
class Names {
 public:
  explicit Names(base::Rng& rng) : nonce_(rng.bytes<16>()) {}
  Result<ObjectName> operator[](std::uint8_t number) const {
    auto nonce = nonce_;
    nonce.back() = std::byte{number};
    return ObjectName::parse(std::string(format::kProbePrefix) + to_hex(nonce));
  }
  /// Of all of them and nobody else's.
  std::string prefix() const {
    return std::string(format::kProbePrefix) + to_hex(std::span(nonce_).first(15));
  }

 private:
  std::array<std::byte, 16> nonce_;
};

/// Tries to remove an object that this process made.
Result<> clean_up(store::ObjectStore& store, const ObjectName& name, std::vector<std::string>& left_behind) {
  const Outcome gone = store.remove(name);
  if (!gone.done()) {
    left_behind.push_back(name.str());
    if (ends_testing(gone.why())) {
      return gone.as_result();
    }
  }
  return {};
}

class Probe {
 public:
  Probe(const Services& services, store::ObjectStore& store)
      : services_(services),
        store_(store),
        names_(services.rng),
        bytes_(random_bytes(services.rng, kObjectBytes)),
        small_(random_bytes(services.rng, kSmallBytes)) {}

  Result<StoreProbe> run() {
    FIRN_LET(first_, names_[1]);
    FIRN_LET(second_, names_[2]);
    FIRN_LET(third_, names_[3]);
    FIRN_TRY(write_first());
    if (!report_.tested) {
      return std::move(report_);
    }
    auto tested = test();
    // What was made goes, also when testing ended early; its error counts then.
    for (const ObjectName* name : {&first_, &second_, &third_}) {
      auto cleaned = clean_up(store_, *name, report_.left_behind);
      tested = tested ? std::move(cleaned) : std::move(tested);
    }
    FIRN_TRY(std::move(tested));
    return std::move(report_);
  }

 private:
  Result<> write_first() {
    const Outcome written = store_.put(first_, bytes_);
    if (!written.done() && !is_refusal(written.why())) {
      return written.as_result();
    }
    report_.tested = written.done();
    report_.why_not = written.done() ? "" : written.why().message;
    return {};
  }

  Result<> test() {
    FIRN_TRY(test_reads());
    FIRN_TRY(test_ranges());
    FIRN_TRY(test_lists());
    FIRN_TRY(test_second_put());
    FIRN_TRY(test_replacement());
    FIRN_TRY(test_removal());
    return test_clock();
  }

  void broken(std::string sentence) {
    if (std::find(report_.broken.begin(), report_.broken.end(), sentence) == report_.broken.end()) {
      report_.broken.push_back(std::move(sentence));
    }
  }
  /// False with a finding when the condition does not hold.
  void must(bool holds, std::string_view otherwise) {
    if (!holds) {
      broken(std::string(otherwise));
    }
  }
  /// An error that is an answer is a finding; one that is none ends the test.
  template <class T>
  Result<> must_answer(const Result<T>& answer, std::string_view what) {
    if (!answer && ends_testing(answer.error())) {
      return Failure(answer.error());
    }
    if (!answer) {
      broken(std::string(what) + " fails: " + answer.error().message);
    }
    return {};
  }

  Result<> test_reads() {
    const auto whole = store_.get(first_, kObjectBytes);
    FIRN_TRY(must_answer(whole, "a GET right after a PUT"));
    must(!whole || equal(*whole, bytes_), "a GET right after a PUT gives other bytes than were stored");
    const auto size = store_.head(first_);
    FIRN_TRY(must_answer(size, "a HEAD right after a PUT"));
    must(!size || *size == kObjectBytes, "a HEAD right after a PUT tells another size");
    const auto absent = store_.get(third_, kObjectBytes);
    if (!absent && ends_testing(absent.error())) {
      return Failure(absent.error());
    }
    must(!absent && absent.error().code == ErrorCode::NotFound,
         "a GET of an object that was never stored does not say so");
    return {};
  }

  Result<> test_ranges() {
    constexpr std::array<std::pair<std::size_t, std::size_t>, 4> kRanges = {
        std::pair{0, 1}, {kObjectBytes - 1, 1}, {4095, 65'538}, {0, kObjectBytes}};
    for (const auto& [offset, length] : kRanges) {
      Bytes part(length);
      const auto read = store_.get_range(first_, offset, part);
      FIRN_TRY(must_answer(read, "a ranged GET"));
      must(!read || equal(part, ByteView(bytes_).subspan(offset, length)),
           "a ranged GET gives other bytes than stand there");
    }
    Bytes beyond(10);
    const auto read = store_.get_range(first_, kObjectBytes - 5, beyond);
    if (!read && ends_testing(read.error())) {
      return read;
    }
    must(!read, "a ranged GET over an object's end gives bytes that are not there");
    return {};
  }

  /// Names and sizes under our prefix, from `count_max` objects a page.
  Result<std::vector<std::pair<std::string, std::uint64_t>>> listed(std::uint32_t count_max) {
    std::vector<std::pair<std::string, std::uint64_t>> found;
    std::string after;
    while (true) {
      FIRN_LET(const store::ListPage page, store_.list(names_.prefix(), after, count_max));
      for (const store::ListedObject& object : page.objects) {
        found.emplace_back(object.name.str(), object.size_bytes);
      }
      if (page.last || page.objects.empty()) {
        return found;
      }
      if (page.objects.back().name.str() <= after) {
        return fail(ErrorCode::Corrupt, "its pages do not go on");
      }
      after = page.objects.back().name.str();
    }
  }

  Result<> must_list(std::vector<std::pair<std::string, std::uint64_t>> wanted, std::uint32_t count_max,
                     std::string_view otherwise) {
    const auto found = listed(count_max);
    FIRN_TRY(must_answer(found, "a LIST"));
    must(!found || *found == wanted, otherwise);
    return {};
  }

  Result<> test_lists() {
    FIRN_TRY(must_list({{first_.str(), kObjectBytes}}, 1000,
                       "a LIST right after a PUT does not show the object as it is"));
    FIRN_TRY(store_.put(third_, small_).as_result());
    FIRN_TRY(store_.put(second_, small_).as_result());
    const std::vector<std::pair<std::string, std::uint64_t>> all = {
        {first_.str(), kObjectBytes}, {second_.str(), kSmallBytes}, {third_.str(), kSmallBytes}};
    FIRN_TRY(must_list(all, 1000, "a LIST does not show all objects in the order of their names"));
    FIRN_TRY(must_list(all, 1, "a LIST in pages shows other objects than one in one piece"));
    const auto rest = store_.list(names_.prefix(), second_.str(), 1000);
    FIRN_TRY(must_answer(rest, "a LIST from a name on"));
    must(!rest || (rest->objects.size() == 1 && rest->objects.front().name == third_),
         "a LIST from a name on begins at another one");
    return {};
  }

  /// Not relied on, only told.
  Result<> test_second_put() {
    const Outcome again = store_.put(third_, random_bytes(services_.rng, kSmallBytes));
    if (!again.done() && ends_testing(again.why())) {
      return again.as_result();
    }
    report_.refuses_replacement_unasked = !again.done();
    return {};
  }

  /// A reader beside the writer sees one version or the other, whole.
  Result<> test_replacement() {
    std::vector<Bytes> versions = {small_};
    for (int i = 0; i < kReplacements; ++i) {
      versions.push_back(random_bytes(services_.rng, kObjectBytes - static_cast<std::size_t>(i) * 100));
    }
    std::atomic<bool> ended{false};
    std::atomic<bool> mixed{false};
    base::TaskGroup group(services_.executor);
    group.spawn("probe reader", [&]() -> Result<> {
      for (int reads = 0; reads < kReadsMax && !ended; ++reads) {
        FIRN_LET(const Bytes seen, store_.get(second_, kObjectBytes));
        if (std::none_of(versions.begin(), versions.end(),
                         [&](const Bytes& one) { return equal(one, seen); })) {
          mixed = true;
        }
        services_.executor.yield();
      }
      return {};
    });
    auto replaced = replace_with(versions);
    ended = true;
    auto read = group.join();
    FIRN_TRY(std::move(replaced));
    FIRN_TRY(must_answer(read, "a GET while the object is replaced"));
    must(!mixed, "an object that is replaced is seen in pieces");
    return {};
  }

  Result<> replace_with(const std::vector<Bytes>& versions) {
    for (std::size_t i = 1; i < versions.size(); ++i) {
      const Outcome replaced = store_.put(second_, versions[i], {.replace = true});
      if (!replaced.done()) {
        // A place where nothing may be replaced at all: then only heartbeats are missing.
        return ends_testing(replaced.why()) ? replaced.as_result() : Result<>();
      }
      const auto seen = store_.get(second_, kObjectBytes);
      FIRN_TRY(must_answer(seen, "a GET right after an object was replaced"));
      must(!seen || equal(*seen, versions[i]),
           "a GET right after an object was replaced gives its old bytes");
    }
    return {};
  }

  Result<> test_removal() {
    const Outcome removed = store_.remove(first_);
    if (!removed.done()) {
      return ends_testing(removed.why()) ? removed.as_result() : Result<>();  // a key without the right
    }
    const auto gone = store_.get(first_, kObjectBytes);
    if (!gone && ends_testing(gone.error())) {
      return Failure(gone.error());
    }
    must(!gone && gone.error().code == ErrorCode::NotFound,
         "a GET right after a DELETE still finds the object");
    const auto page = store_.list(names_.prefix(), {}, 1000);
    FIRN_TRY(must_answer(page, "a LIST right after a DELETE"));
    must(!page || std::none_of(page->objects.begin(), page->objects.end(),
                               [&](const store::ListedObject& object) { return object.name == first_; }),
         "a LIST right after a DELETE still shows the object");
    const Outcome again = store_.remove(first_);
    if (!again.done() && ends_testing(again.why())) {
      return again.as_result();
    }
    must(again.done(), "a DELETE of what is gone fails");
    return {};
  }

  Result<> test_clock() {
    const base::WallTime before = services_.clock.wall();
    const auto theirs = store_.now();
    FIRN_TRY(must_answer(theirs, "asking for the store's time"));
    if (theirs) {
      const std::int64_t ours =
          before.nanoseconds + (services_.clock.wall().nanoseconds - before.nanoseconds) / 2;
      report_.clock_offset = std::chrono::nanoseconds(theirs->nanoseconds - ours);
    }
    return {};
  }

  const Services& services_;
  store::ObjectStore& store_;
  const Names names_;
  const Bytes bytes_;
  const Bytes small_;
  ObjectName first_;
  ObjectName second_;
  ObjectName third_;
  StoreProbe report_;
};

/// Tries all three on one object.
Result<> try_rights(const Services& services, store::ObjectStore& store, const ObjectName& name,
                    Posture& posture) {
  const Outcome written = store.put(name, random_bytes(services.rng, kSmallBytes));
  if (!written.done()) {
    return is_refusal(written.why()) ? Result<>() : written.as_result();
  }
  posture.can_write = true;
  const Outcome unasked = store.put(name, random_bytes(services.rng, kSmallBytes));
  if (!unasked.done() && ends_testing(unasked.why())) {
    return unasked.as_result();
  }
  posture.refuses_replacement_unasked = posture.refuses_replacement_unasked || !unasked.done();
  const Bytes other = random_bytes(services.rng, kSmallBytes);
  const Outcome replaced = store.put(name, other, {.replace = true});
  if (!replaced.done() && ends_testing(replaced.why())) {
    return replaced.as_result();
  }
  if (replaced.done()) {
    const auto seen = store.get(name, kSmallBytes);
    // Where reading is not allowed, the answer to the write has to do.
    posture.can_overwrite = posture.can_overwrite || !seen || equal(*seen, other);
  }
  const Outcome removed = store.remove(name);
  if (!removed.done()) {
    posture.left_behind.push_back(name.str());
    return ends_testing(removed.why()) ? removed.as_result() : Result<>();
  }
  const auto gone = store.head(name);
  posture.can_delete = posture.can_delete || (!gone && gone.error().code == ErrorCode::NotFound);
  return {};
}

}  // namespace

Result<StoreProbe> probe_store(const Services& services, store::ObjectStore& store) {
  return in("test of " + store.describe(), Probe(services, store).run());
}

Result<Posture> probe_posture(const Services& services, store::ObjectStore& store) {
  Posture posture;
  FIRN_LET(const ObjectName probe, Names(services.rng)[1]);
  FIRN_TRY(try_rights(services, store, probe, posture));
  // A pack that no index names: readers never look at it, prune removes it.
  format::PackId pack;
  services.rng.fill(pack.bytes);
  FIRN_TRY(try_rights(services, store, format::object_name(format::PackName{format::PackKind::Data, pack}),
                      posture));
  return posture;
}

std::vector<std::string> describe(const Posture& posture) {
  std::vector<std::string> lines;
  if (!posture.can_write) {
    lines.push_back("a thief of these credentials can write nothing: not overwrite, not delete");
    return lines;
  }
  if (posture.can_delete) {
    lines.push_back(
        "a thief of these credentials can DELETE every object, and with that every backup, unless the bucket "
        "keeps "
        "versions or locks objects: give this key no right to delete");
  } else {
    lines.push_back("a thief of these credentials cannot delete objects");
  }
  if (posture.can_overwrite) {
    lines.push_back(
        "a thief of these credentials can OVERWRITE every object, and with that every backup, unless the "
        "bucket keeps "
        "versions or locks objects: demand If-None-Match in the bucket's policy, or keep versions");
  } else {
    lines.push_back("a thief of these credentials cannot overwrite objects");
  }
  lines.push_back(
      "a thief of these credentials can fill the store with rubbish and list all names and sizes");
  if (!posture.refuses_replacement_unasked) {
    lines.push_back(
        "this store does not honour If-None-Match: firn does not rely on it, a policy cannot either");
  }
  for (const std::string& name : posture.left_behind) {
    lines.push_back("left behind, because it could not be removed: " + name);
  }
  return lines;
}

}  // namespace firn::repo
