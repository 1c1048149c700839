using System.Security.Cryptography;
using System.Text;

namespace StainGrid.Faults.Tests;

public sealed class CommitHistoryTests
{
    private const string Field = "p/A/1/0";

    private static readonly Dictionary<string, (int, int)> s_fields = new() { [Field] = (2, 1) };

    [Fact]
    public void A_history_that_keeps_the_promises_passes()
    {
        var log = Good();
        var report = log.Check();
        Assert.Empty(report.Violations);
        Assert.Equal((2, 0, 0), (report.Commits, report.Tolerated, report.Repeated));
    }

    [Fact]
    public void What_the_sdk_sends_again_is_one_write()
    {
        var log = new Log();
        log.Chunk(0, "a", id: "r1");
        log.Commit(1, (0, 1, "a"));
        log.Chunk(0, "a", id: "r1");   // its first answer was lost; the commit is another silo's
        log.Chunk(1, "b");
        log.Commit(1, (0, 1, "a"), (1, 1, "b"));
        var report = log.Check();
        Assert.Empty(report.Violations);
        Assert.Equal((1, 1), (report.Tolerated, report.Repeated));
    }

    [Fact]
    public void A_write_of_the_same_bytes_from_before_the_commit_is_tolerated_and_counted()
    {
        var log = new Log();
        long started = log.Now;
        log.Chunk(0, "a");
        log.Chunk(1, "b");
        log.Commit(1, (0, 1, "a"), (1, 1, "b"));
        log.Chunk(0, "a", started: started);
        var report = log.Check();
        Assert.Empty(report.Violations);
        Assert.Equal(1, report.Tolerated);
    }

    [Fact]
    public void A_later_epoch_and_another_plan_are_no_violation()
    {
        var log = new Log();
        log.Chunk(0, "a");
        log.Commit(1, (0, 1, "a"));
        log.Commit(2, (0, 1, "a"));
        log.Chunk(1, "b");
        log.Commit(2, (0, 1, "a"), (1, 2, "b"));
        Assert.Empty(log.Check().Violations);
    }

    [Fact]
    public void Answers_that_were_seen_swapped_are_put_in_order()
    {
        var log = Good();
        log.Writes.Reverse();
        Assert.Empty(log.Check().Violations);
    }

    [Fact]
    public void A_chunk_accepted_twice_is_seen() =>
        Violates(Good(), "accepted twice", log =>
        {
            log.Commit("other", 2);
            log.Commit("plan", 2, (0, 2, "a"), (1, 2, "b"));
        });

    [Fact]
    public void A_changed_commit_is_seen() => Violates(Good(), "was changed", log => log.Commit(1, (0, 1, "a"), (1, 1, "c")));

    [Fact]
    public void A_commit_that_is_taken_over_by_another_epoch_is_seen() =>
        Violates(Good(), "was changed", log => log.Commit(2, (0, 2, "a"), (1, 1, "b")));

    [Fact]
    public void A_dropped_commit_is_seen() => Violates(Good(), "was dropped", log => log.Commit(1, (0, 1, "a")));

    [Fact]
    public void Deleted_commits_are_seen() =>
        Violates(Good(), "commits were deleted", log => log.Add($"{Field}/.staingrid/commits/0.json", "", delete: true));

    [Fact]
    public void A_band_whose_epoch_falls_is_seen() => Violates(Good(), "epoch fell", log =>
    {
        log.Commit(3, (0, 1, "a"), (1, 1, "b"));
        log.Commit(2, (0, 1, "a"), (1, 1, "b"));
    });

    [Fact]
    public void A_chunk_accepted_with_an_old_epoch_is_seen()
    {
        var log = new Log();
        log.Chunk(0, "a");
        log.Chunk(1, "b");
        log.Commit(3, (0, 3, "a"));
        log.Commit(3, (0, 3, "a"), (1, 2, "b"));
        Assert.Contains(log.Check().Violations, line => line.Contains("with epoch 2 after 3", StringComparison.Ordinal));
    }

    [Fact]
    public void A_commit_without_a_condition_is_seen() => Violates(Good(), "without a condition", log =>
        log.Add($"{Field}/.staingrid/commits/0.json", Log.Json("plan", 1, (0, 1, "a"), (1, 1, "b"))));

    [Fact]
    public void A_commit_on_a_version_that_is_not_the_last_is_seen() => Violates(Good(), "follows none", log =>
        log.Add($"{Field}/.staingrid/commits/0.json", Log.Json("plan", 1, (0, 1, "a"), (1, 1, "b")), ifMatch: "\"1\""));

    [Theory]
    [InlineData("a", "the same bytes")]
    [InlineData("z", "other bytes")]
    public void A_finished_chunk_written_again_is_seen(string bytes, string said) =>
        Violates(Good(), said, log => log.Chunk(0, bytes));

    [Fact]
    public void Other_bytes_from_before_the_commit_are_seen() => Violates(Good(), "other bytes", log => log.Chunk(0, "z", started: 1));

    [Fact]
    public void A_deleted_chunk_is_seen() => Violates(Good(), "deleted after", log => log.Add($"{Field}/0/0/0/0/0/0", "", delete: true));

    [Fact]
    public void A_chunk_that_is_not_committed_is_seen()
    {
        var log = new Log();
        log.Chunk(0, "a");
        log.Chunk(1, "b");
        log.Commit(1, (0, 1, "a"));
        Assert.Equal([$"{Field}: chunk 0/1 is not committed."], log.Check().Violations);
    }

    [Fact]
    public void A_commit_before_or_without_its_bytes_is_seen()
    {
        var log = new Log();
        log.Commit(1, (0, 1, "a"), (1, 1, "b"));
        log.Chunk(0, "a", started: 0);
        var lines = log.Check().Violations;
        Assert.Contains(lines, line => line.Contains("not in the store when", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.Contains("never written", StringComparison.Ordinal));
    }

    [Fact]
    public void Refused_writes_do_not_count() =>
        Assert.Empty(Good(log => log.Writes.Add(log.Writes[0] with { Status = 412, Done = 100, Sha256 = "x" })).Check().Violations);

    private static Log Good(Action<Log>? then = null)
    {
        var log = new Log();
        log.Chunk(0, "a");
        log.Commit(1, (0, 1, "a"));
        log.Chunk(1, "b");
        log.Commit(1, (0, 1, "a"), (1, 1, "b"));
        then?.Invoke(log);
        return log;
    }

    private static void Violates(Log log, string said, Action<Log> then)
    {
        then(log);
        Assert.Contains(log.Check().Violations, line => line.Contains(said, StringComparison.Ordinal));
    }

    private sealed class Log
    {
        private int _version;

        public List<BlobWrite> Writes { get; } = [];

        public long Now { get; private set; } = 1;

        public static string Json(string plan, long epoch, params (int X, long Epoch, string Bytes)[] chunks) =>
            $$"""{"plan":"{{plan}}","epoch":{{epoch}},"chunks":{"""
            + string.Join(',', chunks.Select(chunk => $$"""
                "{{chunk.X}}":{"epoch":{{chunk.Epoch}},"sha256":["{{Hash(chunk.Bytes)}}"]}
                """)) + "}}";

        public void Chunk(int x, string bytes, string id = "", long? started = null) => Add($"{Field}/0/0/0/0/0/{x}", bytes, id: id, started: started);

        public void Commit(long epoch, params (int X, long Epoch, string Bytes)[] chunks) => Commit("plan", epoch, chunks);

        public void Commit(string plan, long epoch, params (int X, long Epoch, string Bytes)[] chunks) =>
            Add($"{Field}/.staingrid/commits/0.json", Json(plan, epoch, chunks),
                ifMatch: _version > 0 ? $"\"{_version}\"" : null, ifNoneMatch: _version > 0 ? null : "*", etag: $"\"{++_version}\"");

        public void Add(string key, string body, string? ifMatch = null, string? ifNoneMatch = null, string? etag = null, string id = "", long? started = null, bool delete = false) =>
            Writes.Add(new BlobWrite
            {
                Key = key,
                Delete = delete,
                Started = started ?? Now++,
                Done = Now++,
                Status = 201,
                IfMatch = ifMatch,
                IfNoneMatch = ifNoneMatch,
                ETag = etag,
                RequestId = id,
                Sha256 = Hash(body),
                Commit = CommitHistory.IsCommit(key) ? body : null,
            });

        public CommitReport Check() => CommitHistory.Check(Writes, s_fields);

        private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
    }
}
