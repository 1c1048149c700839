using System.Diagnostics;
using System.Globalization;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Merges the maps of one band of a slide, writes its chunks and commits them.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed class StitcherGrain : Grain, IStitcherGrain
{
    private readonly Guid incarnation = Guid.NewGuid();
    private readonly Queue<StitchedChunk> unwritten = [];
    private SlideJob? current;
    private ChunkStitcher? stitcher;
    private SlideOutput? output;
    private BandCommits? commits;

    private int Band => int.Parse(this.GetPrimaryKeyString().Split('@')[0], CultureInfo.InvariantCulture);

    /// <inheritdoc/>
    public async Task<Guid> AddAsync(SlideJob job, ProbabilityMap part)
    {
        DelayDeactivation(TimeSpan.FromHours(1));
        using var span = Activity.Current is null ? Telemetry.Stage("stitch", job.TraceParent) : Telemetry.Stage("stitch");
        if (current is null || job.Epoch > current.Epoch)
            await ClaimAsync(job);
        else if (job.Epoch < current.Epoch)
            throw new StaleSlideException($"{job.Name}, band {Band}: the slide was started again since; this start's work is not needed.");

        // Off the grain's scheduler: merging and compressing a chunk of eight labels takes a good part of a second. A chunk
        // whose writing fails stays in the queue, and is written when its block is handed over again.
        var (merge, write, log) = (stitcher!, output!, commits!);
        using (Telemetry.Stage("stitch.merge"))
        {
            foreach (var chunk in await Task.Run(() => merge.Add(part, job.Band(Band))))
                unwritten.Enqueue(chunk);
        }

        while (unwritten.TryPeek(out var chunk))
        {
            await log.CheckAsync();
            if (!log.Contains(chunk.Column))   // it is committed where only the answer was lost
            {
                IReadOnlyList<string> sha256;
                using (Telemetry.Stage("chunk.write"))
                    sha256 = await Task.Run(() => write.WriteAsync(chunk));
                using (Telemetry.Stage("chunk.commit"))
                    await log.CommitAsync(chunk.Column, sha256, chunk.Check);
            }

            unwritten.Dequeue();
            await GrainFactory.GetGrain<ISlideGrain>(job.SlideId).ReportChunkAsync(job.PlanHash, new CommittedChunk(chunk.Row, chunk.Column, chunk.Check));
        }

        return incarnation;
    }

    /// <inheritdoc/>
    public Task<StitcherStatus> GetStatusAsync() => Task.FromResult(new StitcherStatus(incarnation, current?.PlanHash, commits?.Committed ?? []));

    /// <inheritdoc/>
    public Task DropAsync()
    {
        unwritten.Clear();
        (current, stitcher, output, commits) = (null, null, null, null);
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    // What is held of an older start of the same plan is good for this one too.
    private async Task ClaimAsync(SlideJob job)
    {
        commits = await BandCommits.ClaimAsync(BlobStores.Open(job.Output), job, Band);
        if (current?.PlanHash != job.PlanHash || current.BlockSide != job.BlockSide)
        {
            unwritten.Clear();
            stitcher = new ChunkStitcher(job.Plan(), job.Planes.Count, SlideJob.ChunkSize, job.Statistics);
            output = new SlideOutput(job);
        }

        foreach (var chunk in commits.Committed)
            stitcher!.Skip(chunk.Row, chunk.Column);
        current = job;
    }
}
