using System.Buffers.Binary;
using StainGrid.Imaging.Zarr;
using StainGrid.TestSupport;
using ZstdSharp;
using ZstdSharp.Unsafe;
using Region = StainGrid.Tiling.Region;

namespace StainGrid.Imaging.Tests;

/// <summary>The loops that take many pixels at once against plain ones.</summary>
public sealed class PixelLoopTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<int> Lengths => [1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 1000, 1023, 1024];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Lengths))]
    public void A_halved_row_is_that_of_a_plain_loop(int length)
    {
        ushort[] upper = Pixels(length, 1), lower = Pixels(length, 2);
        foreach (ushort[] under in new[] { lower, [] })
        {
            ushort[] half = new ushort[(length + 1) / 2];
            Shrinking.Halve(upper, under, half);
            for (int x = 0; x < half.Length; x++)
            {
                var below = new List<int>();
                foreach (ushort[] row in new[] { upper, under })
                    below.AddRange(row.Skip(2 * x).Take(2).Select(value => (int)value));
                Assert.Equal((ushort)Math.Floor(below.Average() + 0.5), half[x]);
            }
        }
    }

    [Theory]
    [InlineData(7, 9, 3)]
    [InlineData(301, 157, 33)]
    [InlineData(132, 67, 33)]
    [InlineData(257, 129, 64)]
    public async Task A_pyramid_of_any_chunk_size_is_that_of_a_plain_loop(int width, int height, int side)
    {
        var image = new OmeZarrImage("a", width, height, [new OmeZarrChannel("c")]) { ChunkSize = side, Levels = OmeZarrImage.LevelsFor(width, height, side) };
        var store = new FolderBlobStore(_folder.File("a.zarr"));
        var writer = new OmeZarrWriter(store, image);
        ushort[] plane = Pixels(width * height, 3);
        await writer.WriteArrayMetadataAsync(Stop);
        var (rows, columns) = image.ChunkGrid(0);
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                ushort[] chunk = new ushort[side * side];
                for (int y = row * side; y < Math.Min(height, (row + 1) * side); y++)
                {
                    for (int x = column * side; x < Math.Min(width, (column + 1) * side); x++)
                        chunk[(y - row * side) * side + x - column * side] = plane[y * width + x];
                }

                await writer.WriteChunkAsync(0, 0, row, column, chunk, Stop);
            }
        }

        await writer.BuildPyramidAsync(cancellationToken: Stop);
        await writer.CompleteAsync(Stop);
        var reader = await OmeZarrReader.OpenAsync(store, Stop);
        for (int level = 1; level < image.Levels; level++)
        {
            var (toWidth, toHeight) = image.LevelSize(level);
            var (fromWidth, fromHeight) = image.LevelSize(level - 1);
            ushort[] half = new ushort[toWidth * toHeight];
            for (int i = 0; i < half.Length; i++)
            {
                var below = from y in Enumerable.Range(i / toWidth * 2, 2)
                            from x in Enumerable.Range(i % toWidth * 2, 2)
                            where x < fromWidth && y < fromHeight
                            select (int)plane[y * fromWidth + x];
                half[i] = (ushort)Math.Floor(below.Average() + 0.5);
            }

            Assert.Equal(half, await reader.ReadAsync(level, 0, new Region(0, 0, toWidth, toHeight), Stop));
            plane = half;
        }
    }

    [Theory]
    [MemberData(nameof(Lengths))]
    public void A_frame_is_what_a_new_compressor_makes_of_plainly_shuffled_bytes(int length)
    {
        // One that shrinks and one that does not; several, so that the compressors are used again.
        foreach (ushort[] pixels in new[] { Pixels(length, 4), [.. Enumerable.Range(0, length).Select(i => (ushort)(i % 7))], Pixels(length, 5) })
        {
            byte[] values = new byte[2 * length], shuffled = new byte[2 * length], decoded = new byte[2 * length];
            for (int i = 0; i < length; i++)
            {
                BinaryPrimitives.WriteUInt16LittleEndian(values.AsSpan(2 * i), pixels[i]);
                (shuffled[i], shuffled[length + i]) = ((byte)pixels[i], (byte)(pixels[i] >> 8));
            }

            using var compressor = new Compressor(3);
            compressor.SetParameter(ZSTD_cParameter.ZSTD_c_checksumFlag, 1);
            byte[] block = compressor.Wrap(shuffled).ToArray();
            byte[] frame = BloscFrame.Compress(values, sizeof(ushort));
            Assert.Equal(block.Length < shuffled.Length ? block : shuffled, frame[24..]);
            BloscFrame.Decompress(frame, decoded, sizeof(ushort));
            Assert.Equal(values, decoded);
        }
    }

    private static ushort[] Pixels(int count, int seed)
    {
        var random = new Random(seed + count);
        return [.. Enumerable.Range(0, count).Select(_ => (ushort)random.Next(65_536))];
    }
}
