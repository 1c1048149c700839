using System.Globalization;
using StainGrid.Contracts;
using StainGrid.Tiling;

namespace StainGrid.Grains;

/// <summary>Merges the maps of one band of a slide and writes its chunks.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed class StitcherGrain : Grain, IStitcherGrain
{
    private readonly Queue<StitchedChunk> unwritten = [];
    private ChunkStitcher? stitcher;
    private SlideOutput? output;

    /// <inheritdoc/>
    public async Task AddAsync(SlideJob job, ProbabilityMap part)
    {
        int band = int.Parse(this.GetPrimaryKeyString().Split('@')[0], CultureInfo.InvariantCulture);
        stitcher ??= new ChunkStitcher(job.Plan(), job.Planes.Count, SlideJob.ChunkSize, job.Statistics);
        output ??= new SlideOutput(job);
        DelayDeactivation(TimeSpan.FromDays(1));

        // Off the grain's scheduler: merging and compressing a chunk of eight labels takes a good part of a second. A chunk
        // whose writing fails stays in the queue, and is written when its block is handed over again.
        var (merge, write) = (stitcher, output);
        foreach (var chunk in await Task.Run(() => merge.Add(part, job.Band(band))))
            unwritten.Enqueue(chunk);
        while (unwritten.TryPeek(out var chunk))
        {
            await Task.Run(() => write.WriteAsync(chunk));
            unwritten.Dequeue();
            await GrainFactory.GetGrain<ISlideGrain>(job.SlideId).ReportChunksAsync(1, chunk.Check);
        }
    }

    /// <inheritdoc/>
    public Task DropAsync()
    {
        unwritten.Clear();
        stitcher = null;
        output = null;
        DeactivateOnIdle();
        return Task.CompletedTask;
    }
}
