// What reaches standard output and standard error, and progress lines.
#include "agent/cli/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/cli/progress.h"
#include "repo/base/files.h"
#include "tests/support/temp_dir.h"

namespace firn::cli {
namespace {

/// Two files that stand for standard output and standard error.
class Streams {
 public:
  Streams()
      : out_(::open(temp_.path("out").c_str(), O_RDWR | O_CREAT, 0600)),
        err_(::open(temp_.path("err").c_str(), O_RDWR | O_CREAT, 0600)) {}
  OutputOptions options() const { return {.out_fd = out_.get(), .err_fd = err_.get()}; }
  std::string out() const { return temp_.read("out"); }
  std::string err() const { return temp_.read("err"); }

 private:
  test::TempDir temp_;
  base::FileDescriptor out_;
  base::FileDescriptor err_;
};

TEST(Output, ResultsGoToOutAndWarningsToErr) {
  const Streams streams;
  Output out(streams.options());
  out.line("a result");
  out.note("a note");
  out.warn("a warning");
  ASSERT_TRUE(out.finish());
  EXPECT_EQ(streams.out(), "a result\na note\n");
  EXPECT_EQ(streams.err(), "firn: a warning\n");
}

TEST(Output, WithJsonOrQuietThereAreNoNotes) {
  for (const bool json : {true, false}) {
    const Streams streams;
    OutputOptions options = streams.options();
    options.json = json;
    options.quiet = !json;
    Output out(options);
    out.note("a note");
    out.line("a result");
    ASSERT_TRUE(out.finish());
    EXPECT_EQ(streams.out(), "a result\n");
  }
}

TEST(Output, DetailsNeedVerbosity) {
  const Streams streams;
  OutputOptions options = streams.options();
  options.verbosity = 1;
  Output out(options);
  out.detail(1, "shown");
  out.detail(2, "not shown");
  ASSERT_TRUE(out.finish());
  EXPECT_EQ(streams.out(), "shown\n");
}

TEST(Output, ProgressLinesAreForTerminalsOnly) {
  const Streams streams;
  Output out(streams.options());
  EXPECT_FALSE(out.terminal());
  out.show_status({"working"});
  ASSERT_TRUE(out.finish());
  EXPECT_EQ(streams.out(), "");
}

TEST(Output, AFullStandardOutputIsAnError) {
  const base::FileDescriptor full(::open("/dev/full", O_WRONLY));
  ASSERT_TRUE(full.valid());
  const Streams streams;
  OutputOptions options = streams.options();
  options.out_fd = full.get();
  Output out(options);
  out.line("lost");
  const auto outcome = out.finish();
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("standard output"), std::string::npos);
}

Sample half_way() {
  return {.phase = "backing up",
          .done = 0.5,
          .counts = "5 of 10 files",
          .bytes = 5 << 20,
          .bytes_total = 10 << 20,
          .current = "/home/ann/a file"};
}

TEST(StatusLines, AreTwoOnAWideTerminalAndOneOnANarrowOne) {
  using std::chrono::seconds;
  const auto wide = status_lines(half_way(), 1 << 20, seconds(60), 120);
  ASSERT_EQ(wide.size(), 2U);
  EXPECT_EQ(wide[0],
            "1:00 backing up [##########----------] 50.0%  5 of 10 files  5.00 MiB of 10.0 MiB  1.00 MiB/s  "
            "ETA 1:00");
  EXPECT_EQ(wide[1], "  /home/ann/a file");
  const auto narrow = status_lines(half_way(), 1 << 20, seconds(60), 80);
  ASSERT_EQ(narrow.size(), 1U);
  EXPECT_EQ(narrow[0], "1:00 backing up [#####-----] 50.0%  5 of 10 files  5.00 MiB  1.00 MiB/s  ETA 1:00");
}

TEST(StatusLines, HostileNamesStayInTheirLine) {
  Sample sample = half_way();
  sample.current = "/a\n\x1b[2J";
  const auto lines = status_lines(sample, 0, std::chrono::seconds(1), 120);
  EXPECT_EQ(lines[1], "  /a\\n\\x1b[2J");
}

TEST(StatusLines, WithoutAWholeThereIsNoBarAndNoEta) {
  Sample sample = half_way();
  sample.done.reset();
  const auto lines = status_lines(sample, 0, std::chrono::seconds(60), 80);
  EXPECT_EQ(lines[0].find('['), std::string::npos);
  EXPECT_EQ(lines[0].find("ETA"), std::string::npos);
}

TEST(BarText, NeverLeavesItsWidth) {
  EXPECT_EQ(bar_text(-1, 6), "[----]");
  EXPECT_EQ(bar_text(0.5, 6), "[##--]");
  EXPECT_EQ(bar_text(2, 6), "[####]");
  EXPECT_EQ(bar_text(0.5, 2), "");
}

TEST(AddTimes, HasRemainingTimeOnlyWhereItIsKnown) {
  Json json = Json::object();
  add_times(json, half_way(), std::chrono::seconds(60));
  EXPECT_EQ(json["seconds_elapsed"], 60);
  EXPECT_EQ(json["seconds_remaining"], 60);
  EXPECT_EQ(json["percent_done"], 0.5);
  Json other = Json::object();
  add_times(other, {}, std::chrono::seconds(1));
  EXPECT_FALSE(other.contains("seconds_remaining"));
  EXPECT_EQ(other["percent_done"], 0);
}

}  // namespace
}  // namespace firn::cli
