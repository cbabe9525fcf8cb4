#include "agent/restore/file_table.h"

#include <array>
#include <utility>

#include "repo/base/codec.h"

namespace firn::restore {
namespace {
// length u32 | previous u64 | pieces u32 | fate u8 | directory length u32 | directory | record E
constexpr std::size_t kHeadBytes = 4;
}  // namespace

Result<FileTable> FileTable::create(base::Scratch& scratch) {
  FIRN_LET(auto file, scratch.create());
  FIRN_TRY(file->append(as_bytes("T")));  // so that no record has number 0
  return FileTable(std::move(file));
}

Result<RecordNumber> FileTable::add(std::string_view directory, const format::Entry& entry,
                                    std::uint32_t pieces, Fate fate) {
  Bytes record;
  base::Writer out(record);
  out.u64(static_cast<std::uint64_t>(last_));
  out.u32(pieces);
  out.u8(static_cast<std::uint8_t>(fate));
  out.u32(static_cast<std::uint32_t>(directory.size()));
  out.text(directory);
  FIRN_TRY(format::encode_entry(entry, record));
  std::array<std::byte, kHeadBytes> head{};
  base::store_little(head.data(), static_cast<std::uint32_t>(record.size()));
  const auto number = static_cast<RecordNumber>(file_->size());
  record.insert(record.begin(), head.begin(), head.end());
  FIRN_TRY(file_->append(record));
  last_ = number;
  return number;
}

Result<Remembered> FileTable::read(RecordNumber number) {
  std::array<std::byte, kHeadBytes> head{};
  const auto offset = static_cast<std::uint64_t>(number);
  FIRN_TRY(file_->read_at(offset, head));
  Bytes record(base::load_little<std::uint32_t>(head.data()));
  FIRN_TRY(file_->read_at(offset + kHeadBytes, record));
  base::Reader in(record);
  Remembered remembered;
  remembered.previous = static_cast<RecordNumber>(in.u64());
  remembered.pieces = in.u32();
  remembered.fate = static_cast<Fate>(in.u8());
  const std::uint32_t directory_bytes = in.u32();
  remembered.directory = as_text(in.bytes(directory_bytes));
  format::EntryView view;
  if (!format::parse_entry(in, view)) {
    return fail(ErrorCode::Corrupt, "scratch space gave back other bytes than it took");
  }
  remembered.entry = format::to_entry(view);
  return remembered;
}

}  // namespace firn::restore
