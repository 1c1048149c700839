using System.Text;
using CsvHelper;
using Parquet.Serialization;

namespace StainGrid.Imaging;

/// <summary>The quality of one channel of one field; a field that failed has one row without a channel.</summary>
public sealed record QualityRow
{
    /// <summary>The well, as "B07".</summary>
    public string Well { get; init; } = "";

    /// <summary>The field in the well, from 0.</summary>
    public int Field { get; init; }

    /// <summary>Complete, failed, cancelled.</summary>
    public string State { get; init; } = "";

    /// <summary>Why it is in this state, where there is a reason.</summary>
    public string? Reason { get; init; }

    /// <summary>Width, pixels.</summary>
    public int Width { get; init; }

    /// <summary>Height, pixels.</summary>
    public int Height { get; init; }

    /// <summary>Planes of the input.</summary>
    public int Planes { get; init; }

    /// <summary>The step across block borders against the step inside; 1 where there is no seam.</summary>
    public double? SeamScore { get; init; }

    /// <summary>Pixels whose weights do not sum to one.</summary>
    public long MisweightedPixels { get; init; }

    /// <summary>Tiles that were predicted; a tile counts once for each plane.</summary>
    public long Tiles { get; init; }

    /// <summary>Blocks that were computed more than once.</summary>
    public long BlocksRetried { get; init; }

    /// <summary>The channel of the output; null for a field that failed.</summary>
    public string? Channel { get; init; }

    /// <summary>Mean of the channel's pixels.</summary>
    public double? Mean { get; init; }

    /// <summary>Their first percentile.</summary>
    public double? P1 { get; init; }

    /// <summary>Their 99th percentile.</summary>
    public double? P99 { get; init; }
}

/// <summary>Writes the quality of a plate's fields as tables, columns in the order of <see cref="QualityRow"/>.</summary>
public static class QualityTable
{
    /// <summary>CSV (RFC 4180, UTF-8, a header); the same rows give the same bytes.</summary>
    /// <param name="rows">The rows, in their order.</param>
    public static byte[] ToCsv(IEnumerable<QualityRow> rows)
    {
        using var text = new StringWriter(CultureInfo.InvariantCulture);
        using (var csv = new CsvWriter(text, CultureInfo.InvariantCulture))
            csv.WriteRecords(rows);
        return Encoding.UTF8.GetBytes(text.ToString());
    }

    /// <summary>Apache Parquet.</summary>
    /// <param name="rows">The rows, in their order.</param>
    /// <param name="cancellationToken">Stops the writing.</param>
    public static async Task<byte[]> ToParquetAsync(IReadOnlyCollection<QualityRow> rows, CancellationToken cancellationToken = default)
    {
        using var stream = new MemoryStream();
        await ParquetSerializer.SerializeAsync(rows, stream, cancellationToken: cancellationToken);
        return stream.ToArray();
    }
}
