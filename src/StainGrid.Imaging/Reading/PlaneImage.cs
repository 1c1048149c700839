using StainGrid.Tiling;

namespace StainGrid.Imaging.Reading;

/// <summary>The checks that every reader shares.</summary>
internal abstract class PlaneImage(ImageInfo info) : IPlaneImage
{
    private int _disposed;

    public ImageInfo Info { get; } = info;

    public void Read(int plane, Region region, Span<float> destination)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        ArgumentOutOfRangeException.ThrowIfNegative(plane);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(plane, Info.Planes);
        if (region.X < 0 || region.Y < 0 || region.Width < 0 || region.Height < 0
            || region.Width > Info.Width - region.X || region.Height > Info.Height - region.Y)
        {
            throw new ArgumentOutOfRangeException(nameof(region), region,
                $"The region is not inside the image of {Info.Width}x{Info.Height} pixels.");
        }

        if (destination.Length < region.Area)
            throw new ArgumentException($"{region.Area} values do not fit in {destination.Length}.", nameof(destination));
        if (region.IsEmpty)
            return;
        ReadInside(plane, region, destination[..(int)region.Area]);
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            Close();
        GC.SuppressFinalize(this);
    }

    /// <summary>Reads a region that is not empty and inside the image.</summary>
    protected abstract void ReadInside(int plane, Region region, Span<float> destination);

    /// <summary>Lets go of files and memory; called once.</summary>
    protected abstract void Close();
}
