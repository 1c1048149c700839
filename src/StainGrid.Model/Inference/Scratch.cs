using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>The matrices of one thread's forward pass, by what they are for: made at the first tile and used again at each.</summary>
internal sealed class Scratch : IDisposable
{
    private readonly Dictionary<string, Tensor> buffers = [];

    /// <summary>What attention needs beside matrices.</summary>
    public BlockedAttention Attention { get; } = new();

    /// <summary>A contiguous matrix for a use; the one that was had for this use before shares its memory, and where it was of this size its values.</summary>
    public PixelMatrix Matrix(string use, int rows, int columns)
    {
        long size = (long)rows * columns;
        if (!buffers.TryGetValue(use, out var buffer) || buffer.numel() < size)
        {
            buffer?.Dispose();
            buffers[use] = buffer = empty([size], ScalarType.BFloat16).DetachFromDisposeScope();
        }

        return new PixelMatrix(buffer.narrow(0, 0, size).view(rows, columns));
    }

    public void Dispose()
    {
        foreach (var buffer in buffers.Values)
            buffer.Dispose();
    }
}
