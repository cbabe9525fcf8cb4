// firn mount: the snapshots as a file system.
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/mount/mount.h"

namespace firn::cli {
namespace {

struct MountCommand {
  std::string directory;
  SnapshotFilter filter;
  std::vector<std::string> path_templates;
  std::string time_template;
  bool allow_other = false;
  bool owner_root = false;
  bool no_default_permissions = false;
  bool foreground = false;
};

Result<int> run_mount(Context& context, const MountCommand& command) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(repo::ObjectCache * objects, open->cache());
  FIRN_LET(index::ChunkIndex * chunks, open->index());
  // The mount brings the index up to date itself, again and again.
  FIRN_LET(repo::ChunkReader * reader, open->session_reader());
  const mount::MountSource source{open->repository(), *objects, *chunks, *reader};
  mount::MountOptions options;
  options.directory = command.directory;
  options.path_templates = command.path_templates;
  options.time_template = command.time_template;
  options.allow_other = command.allow_other;
  options.default_permissions = !command.no_default_permissions;
  options.owner_root = command.owner_root;
  // The other half of the work's share is for chunks that are being fetched and decoded.
  options.cache_bytes = open->memory().work / 2;
  options.takes = [&](const format::Snapshot& snapshot) { return command.filter.takes(snapshot); };
  options.warn = [&](std::string_view line) { context.out.warn(printable(std::string(line))); };
  options.mounted = [&] {
    context.out.note("the snapshots are in " + printable(command.directory) +
                     ". Ctrl-C here, or fusermount3 -u there, ends it.");
    static_cast<void>(context.out.finish());
  };
  FIRN_TRY(mount::run_mount(source, options, context.world.stop));
  return kExitOk;
}

}  // namespace

void add_mount(CommandSet& set) {
  auto options = std::make_shared<MountCommand>();
  Command command{
      .name = "mount",
      .summary = "Show the snapshots as a read-only file system",
      .text =
          "Mounts on DIR and serves until Ctrl-C or 'fusermount3 -u DIR'. Snapshots stand below snapshots/, "
          "ids/, hosts/, tags/, paths/ and volumes/, each directory with a link latest; new ones appear and "
          "forgotten ones vanish while it is mounted. A damaged file gives an input/output error where it is "
          "damaged, and a line here that names file, snapshot and pack.\n\n"
          "Only who mounts can look in, with the permissions that the files had; others with --allow-other, "
          "which goes with permission checks only. A path template has %i and %I for the short and the whole "
          "id, %T for the time, %h host, %u user, %t tag, %p path, %n namespace, %P pod and volume claim, %v "
          "volume. A time template shows how 2006-01-02 15:04:05 is to be written.",
      .examples = {{"firn mount /mnt/snapshots",
                    "In another terminal: ls /mnt/snapshots/hosts/web1/latest/etc"},
                   {"firn mount --path-template '%h/%T' --time-template 2006-01-02_15-04 /mnt/snapshots",
                    ""}},
      .flags = filter_flags(options->filter),
      .arguments = {},
      .run = [options](Context& context) { return run_mount(context, *options); }};
  command.flag({.names = "--allow-other",
                .value = "",
                .help = "Let other users look in, as far as the files' permissions allow",
                .choices = {},
                .target = &options->allow_other});
  command.flag({.names = "--owner-root",
                .value = "",
                .help = "Show everything as owned by root",
                .choices = {},
                .target = &options->owner_root});
  command.flag({.names = "--no-default-permissions",
                .value = "",
                .help = "Do not check the files' permissions; not with --allow-other",
                .choices = {},
                .target = &options->no_default_permissions});
  command.flag({.names = "--path-template",
                .value = "TEMPLATE",
                .help = "Where snapshots stand, instead of the usual places; may be given several times",
                .choices = {},
                .target = &options->path_templates});
  command.flag({.names = "--time-template",
                .value = "TEMPLATE",
                .help = "How %T is written",
                .choices = {},
                .target = &options->time_template});
  command.flag({.names = "--foreground",
                .value = "",
                .help = "Stay in the foreground: always done",
                .choices = {},
                .target = &options->foreground});
  command.argument({.name = "DIR",
                    .help = "An empty directory",
                    .required = true,
                    .choices = {},
                    .hint = Hint::Directory,
                    .target = &options->directory});
  set.add(std::move(command));
}

}  // namespace firn::cli
