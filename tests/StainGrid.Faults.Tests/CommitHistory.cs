using System.Text.Json;
using System.Text.RegularExpressions;

namespace StainGrid.Faults.Tests;

/// <summary>Checks a recorded history of writes against what the commits promise: each (field, chunk, plan) is accepted
/// once and stays, epochs only grow, and a finished chunk is never written again.</summary>
internal static partial class CommitHistory
{
    private static readonly JsonSerializerOptions s_json = new() { PropertyNameCaseInsensitive = true };

    /// <summary>Whether a blob holds the commits of a band.</summary>
    public static bool IsCommit(string key) => CommitKey().IsMatch(key);

    /// <summary>Checks a history that is over.</summary>
    /// <param name="history">All writes from before the first chunk on.</param>
    /// <param name="fields">Every field that was submitted, "{prefix}/{row}/{column}/{field}", with its level-0 chunks across
    /// and down.</param>
    public static CommitReport Check(IEnumerable<BlobWrite> history, IReadOnlyDictionary<string, (int Across, int Down)> fields)
    {
        var accepted = history.Where(write => write.Accepted).ToList();
        var check = new Checker();
        foreach (var band in accepted.Where(write => IsCommit(write.Key)).GroupBy(write => write.Key))
            check.Band(band.Key, [.. band]);
        foreach (var chunk in accepted.Where(write => ChunkKey().IsMatch(write.Key) && write.Part is "" or "blocklist").GroupBy(write => write.Key))
            check.Chunk(chunk.Key, [.. chunk]);
        check.End(fields);
        return new CommitReport(check.Violations, check.Commits, check.Tolerated, check.Repeated);
    }

    [GeneratedRegex(@"^(?<field>(?:.+/)?[A-Za-z]+/\d+/\d+)/\.staingrid/commits/(?<y>\d+)\.json$", RegexOptions.ExplicitCapture)]
    private static partial Regex CommitKey();

    [GeneratedRegex(@"^(?<field>(?:.+/)?[A-Za-z]+/\d+/\d+)/0/0/(?<channel>\d+)/0/(?<y>\d+)/(?<x>\d+)$", RegexOptions.ExplicitCapture)]
    private static partial Regex ChunkKey();

    private sealed record Band(string Plan, long Epoch, Dictionary<string, Commit> Chunks);

    private sealed record Commit(long Epoch, string[] Sha256);

    private sealed class Checker
    {
        private readonly Dictionary<(string Field, string X, string Y), (Commit Commit, long Done, string Plan)> _last = [];
        private readonly HashSet<(string Key, int Channel)> _written = [];

        public List<string> Violations { get; } = [];

        public int Commits { get; private set; }

        public int Tolerated { get; private set; }

        public int Repeated { get; private set; }

        public void Band(string key, List<BlobWrite> writes)
        {
            var match = CommitKey().Match(key);
            string field = match.Groups["field"].Value, y = match.Groups["y"].Value;
            var seen = new Dictionary<(string Plan, string X), Commit>();
            Band? before = null;
            long newest = 0;
            foreach (var write in InOrder(key, writes))
            {
                Band? band;
                try
                {
                    band = JsonSerializer.Deserialize<Band>(write.Commit ?? "", s_json);
                }
                catch (JsonException exception)
                {
                    Violations.Add($"{key}: not JSON: {exception.Message}");
                    continue;
                }

                if (band?.Chunks is null || band.Plan is null || band.Chunks.Values.Any(commit => commit?.Sha256 is null))
                {
                    Violations.Add($"{key}: a plan, chunks or hashes are missing.");
                    continue;
                }

                if (before is not null && band.Epoch < before.Epoch)
                    Violations.Add($"{key}: the band's epoch fell from {before.Epoch} to {band.Epoch}.");
                foreach (var (x, old) in before?.Plan == band.Plan ? before.Chunks : [])
                {
                    if (!band.Chunks.TryGetValue(x, out var now))
                        Violations.Add($"{key}: chunk {x} of plan {band.Plan}, accepted in epoch {old.Epoch}, was dropped in epoch {band.Epoch}.");
                    else if (now.Epoch != old.Epoch || !now.Sha256.SequenceEqual(old.Sha256))
                        Violations.Add($"{key}: chunk {x} of plan {band.Plan}, accepted in epoch {old.Epoch}, was changed in epoch {band.Epoch}.");
                }

                long highest = newest;
                foreach (var (x, commit) in band.Chunks)
                {
                    if (before?.Plan == band.Plan && before.Chunks.ContainsKey(x))
                        continue;
                    if (!seen.TryAdd((band.Plan, x), commit))
                    {
                        Violations.Add($"{key}: chunk {x} of plan {band.Plan} was accepted twice, in epochs {seen[(band.Plan, x)].Epoch} and {commit.Epoch}.");
                        continue;
                    }

                    Commits++;
                    if (commit.Epoch < newest || commit.Epoch > band.Epoch)
                        Violations.Add($"{key}: chunk {x} was accepted with epoch {commit.Epoch} after {newest}, in a band of epoch {band.Epoch}.");
                    highest = Math.Max(highest, commit.Epoch);
                    _last[(field, x, y)] = (commit, write.Done, band.Plan);
                }

                newest = highest;
                before = band;
            }

            // Only what the last version says is committed now.
            foreach (var place in _last.Keys.Where(place => place.Field == field && place.Y == y).ToList())
            {
                if (before is null || !before.Chunks.ContainsKey(place.X) || _last[place].Plan != before.Plan)
                    _last.Remove(place);
            }
        }

        public void Chunk(string key, List<BlobWrite> writes)
        {
            var match = ChunkKey().Match(key);
            int channel = int.Parse(match.Groups["channel"].Value, System.Globalization.CultureInfo.InvariantCulture);
            if (!_last.TryGetValue((match.Groups["field"].Value, match.Groups["x"].Value, match.Groups["y"].Value), out var committed))
                return;   // not committed: End says it where it should be
            if (channel >= committed.Commit.Sha256.Length)
            {
                Violations.Add($"{key}: the commit has no hash for this channel.");
                return;
            }

            // What the SDK sent again after a lost answer is one write.
            var calls = writes.GroupBy(write => write.RequestId.Length > 0 ? (write.RequestId, write.Sha256, write.Delete) : ($"#{write.Done}", write.Sha256, write.Delete))
                .Select(call => (Started: call.Min(write => write.Started), Done: call.Max(write => write.Done), call.First().Sha256, call.First().Delete, Count: call.Count()))
                .OrderBy(call => call.Done).ToList();
            Repeated += calls.Sum(call => call.Count - 1);
            foreach (var call in calls.Where(call => call.Done > committed.Done))
            {
                if (call.Delete)
                    Violations.Add($"{key}: deleted after its commit (epoch {committed.Commit.Epoch}).");
                else if (call.Sha256 == committed.Commit.Sha256[channel] && call.Started < committed.Done)
                    Tolerated++;
                else
                    Violations.Add($"{key}: written again after its commit (epoch {committed.Commit.Epoch}), {(call.Sha256 == committed.Commit.Sha256[channel] ? "the same" : "other")} bytes.");
            }

            var last = calls[^1];
            if (last.Delete || last.Sha256 != committed.Commit.Sha256[channel])
                Violations.Add($"{key}: what is stored ({(last.Delete ? "nothing" : last.Sha256)}) is not what was committed ({committed.Commit.Sha256[channel]}).");
            if (!writes.Any(write => !write.Delete && write.Done < committed.Done && write.Sha256 == committed.Commit.Sha256[channel]))
                Violations.Add($"{key}: the committed bytes were not in the store when the commit was accepted.");
            _written.Add(($"{match.Groups["field"].Value}/{match.Groups["y"].Value}/{match.Groups["x"].Value}", channel));
        }

        public void End(IReadOnlyDictionary<string, (int Across, int Down)> fields)
        {
            foreach (var (field, (across, down)) in fields)
            {
                for (int y = 0; y < down; y++)
                {
                    for (int x = 0; x < across; x++)
                    {
                        if (!_last.ContainsKey((field, $"{x}", $"{y}")))
                            Violations.Add($"{field}: chunk {y}/{x} is not committed.");
                    }
                }
            }

            foreach (var ((field, x, y), (commit, _, _)) in _last)
            {
                if (!fields.TryGetValue(field, out var size) || int.Parse(x, null) >= size.Across || int.Parse(y, null) >= size.Down)
                    Violations.Add($"{field}: chunk {y}/{x} is committed, but was not submitted.");
                for (int channel = 0; channel < commit.Sha256.Length; channel++)
                {
                    if (!_written.Contains(($"{field}/{y}/{x}", channel)))
                        Violations.Add($"{field}: chunk {y}/{x}, channel {channel}, is committed, but was never written.");
                }

                if (commit.Sha256.Length == 0)
                    Violations.Add($"{field}: chunk {y}/{x} is committed without hashes.");
            }
        }

        /// <summary>The versions of a band as their conditions chain them; the proxy may have seen two answers swapped.</summary>
        private List<BlobWrite> InOrder(string key, List<BlobWrite> writes)
        {
            var chain = new List<BlobWrite>();
            var rest = new List<BlobWrite>(writes.OrderBy(write => write.Done));
            for (string? version = null; rest.Count > 0;)
            {
                var next = rest.FirstOrDefault(write => !write.Delete && (version is null ? write.IfNoneMatch == "*" : write.IfMatch == version));
                if (next is null)
                {
                    foreach (var write in rest)
                    {
                        Violations.Add(write.Delete ? $"{key}: the commits were deleted."
                            : write is { IfMatch: null, IfNoneMatch: null } ? $"{key}: written without a condition."
                            : $"{key}: a version follows none that is known (If-Match {write.IfMatch ?? "none"}, If-None-Match {write.IfNoneMatch ?? "none"}).");
                    }

                    return [.. chain, .. rest.Where(write => !write.Delete)];
                }

                chain.Add(next);
                rest.Remove(next);
                version = next.ETag ?? "";
            }

            return chain;
        }
    }
}

/// <summary>What a history showed.</summary>
/// <param name="Violations">One line each; empty where all promises were kept.</param>
/// <param name="Commits">Commits of chunks.</param>
/// <param name="Tolerated">Writes of the same bytes that began before their chunk's commit was accepted and ended after it.</param>
/// <param name="Repeated">Writes that the SDK sent again after a lost answer.</param>
internal sealed record CommitReport(IReadOnlyList<string> Violations, int Commits, int Tolerated, int Repeated);
