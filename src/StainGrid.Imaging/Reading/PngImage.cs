using System.Buffers.Binary;
using System.Runtime.InteropServices;
using NetVips;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Reading;

/// <summary>A grey PNG of 8 or 16 bits. A PNG only decodes as a whole: the first read decodes it, and it is held.</summary>
internal sealed class PngImage : PlaneImage
{
    private readonly ImageFile _file;
    private readonly DecodedCache _cache;

    static PngImage() => Vips.Prepare();

    private PngImage(ImageFile file, DecodedCache cache, ImageInfo info)
        : base(info)
    {
        _file = file;
        _cache = cache;
    }

    /// <summary>Whether a file that starts so is a PNG (PNG 3, section 5.2).</summary>
    public static bool IsPng(ReadOnlySpan<byte> start) => start is [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10, ..];

    public static PngImage Open(ImageFile file, ImageLimits limits, DecodedCache cache)
    {
        Span<byte> header = stackalloc byte[33];
        file.ReadExactly(0, header);
        if (BinaryPrimitives.ReadUInt32BigEndian(header[8..]) != 13 || !header.Slice(12, 4).SequenceEqual("IHDR"u8))
            throw file.Damaged("it does not start with a header (IHDR)");
        long width = BinaryPrimitives.ReadUInt32BigEndian(header[16..]), height = BinaryPrimitives.ReadUInt32BigEndian(header[20..]);
        limits.CheckPlane(file.Name, width, height);
        int bits = header[24];
        string? colour = header[25] switch
        {
            0 => null,
            2 => "is a colour (RGB) image with 3 channels",
            3 => "is a palette (indexed colour) image",
            4 => "has 2 channels (grey and alpha)",
            6 => "is a colour image with 4 channels (RGB and alpha)",
            var other => throw file.Damaged($"it has colour type {other}, which PNG does not know"),
        };
        if (colour is not null)
            throw file.Unsupported(colour, "Give one grey channel without transparency.");
        var type = bits switch
        {
            8 => PixelType.UInt8,
            16 => PixelType.UInt16,
            1 or 2 or 4 => throw file.Unsupported($"has {bits}-bit samples", "8 and 16 bits are read: export it as one of these."),
            _ => throw file.Damaged($"it has {bits}-bit samples, which PNG does not know"),
        };
        limits.CheckDecoded(file.Name, "the image", width > long.MaxValue / 2 / height ? long.MaxValue : width * height * type.Bytes(),
            "PNG cannot be read in parts: save it as a tiled TIFF, or raise the limit.");
        CheckChunks(file);
        return new PngImage(file, cache, new ImageInfo(file.Path, "PNG", (int)width, (int)height, 1, type));
    }

    protected override void ReadInside(int plane, Region region, Span<float> destination)
    {
        byte[] samples = _cache.GetOrDecode(this, 0, _ => Decode());
        int bytes = Info.PixelType.Bytes();
        for (int y = 0; y < region.Height; y++)
        {
            long at = ((long)(region.Y + y) * Info.Width + region.X) * bytes;
            Samples.ToFloats(samples.AsSpan((int)at, region.Width * bytes), Info.PixelType, invert: false,
                destination.Slice(y * region.Width, region.Width));
        }
    }

    protected override void Close()
    {
        _cache.Clear();
        _file.Dispose();
    }

    /// <summary>Follows the chunks to the end, so that a file that was cut off is told without decoding it.</summary>
    private static void CheckChunks(ImageFile file)
    {
        Span<byte> chunk = stackalloc byte[8];
        for (long at = 8; ;)
        {
            file.ReadExactly(at, chunk);
            uint length = BinaryPrimitives.ReadUInt32BigEndian(chunk);
            var kind = chunk[4..];
            if (length > int.MaxValue || kind.ContainsAnyExceptInRange((byte)'A', (byte)'z'))
                throw file.Damaged(string.Create(CultureInfo.InvariantCulture, $"at byte {at:N0} stands no PNG chunk"));
            if (kind.SequenceEqual("tRNS"u8))
                throw file.Unsupported("has transparent pixels (tRNS)", "Give one grey channel without transparency.");
            if (kind.SequenceEqual("acTL"u8))
                throw file.Unsupported("is an animation (APNG)", "Give each plane as a file.");
            at += 12 + (long)length;
            if (at > file.Length)
                throw file.CutOff(at);
            if (kind.SequenceEqual("IEND"u8))
                return;
        }
    }

    private byte[] Decode()
    {
        try
        {
            using var image = Image.Pngload(_file.LocalPath, access: Enums.Access.Sequential, failOn: Enums.FailOn.Error);
            var format = Info.PixelType == PixelType.UInt8 ? Enums.BandFormat.Uchar : Enums.BandFormat.Ushort;
            if ((image.Width, image.Height, image.Bands, image.Format) != (Info.Width, Info.Height, 1, format))
                throw new ImageException($"{_file.Name} changed while it was open. Wait until it is written and run again.");
            return CopyOut(image);
        }
        catch (VipsException exception)
        {
            throw new ImageException($"{_file.Name} is damaged: {Vips.Reason(exception)}. Copy or export it again.", exception);
        }
    }

    /// <summary>The samples as bytes, whatever their type, without a second copy in managed memory.</summary>
    private static byte[] CopyOut(Image image)
    {
        nint memory = image.WriteToMemory(out ulong size);
        try
        {
            byte[] samples = new byte[size];
            Marshal.Copy(memory, samples, 0, samples.Length);
            return samples;
        }
        finally
        {
            NetVips.NetVips.Free(memory);
        }
    }
}
