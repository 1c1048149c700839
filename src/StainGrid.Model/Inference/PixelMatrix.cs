using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>Pixels as rows and channels as columns, bfloat16, in the cpu's memory: [rows, columns]; perhaps some rows and columns of a larger matrix,
/// whose memory it shares. Its tensors belong to the dispose scope that it was made in.</summary>
internal readonly struct PixelMatrix
{
    private readonly Tensor whole;
    private readonly int offset;

    /// <summary>The matrix that a tensor [rows, columns] is; contiguous.</summary>
    public PixelMatrix(Tensor tensor)
        : this(tensor, tensor, 0)
    {
    }

    private PixelMatrix(Tensor whole, Tensor values, int offset)
    {
        this.whole = whole;
        this.offset = offset;
        Values = values;
        long[] shape = values.shape;
        (Rows, Columns, Stride) = ((int)shape[0], (int)shape[1], (int)whole.shape[1]);
    }

    /// <summary>[rows, columns].</summary>
    public Tensor Values { get; }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>Values from one row to the next.</summary>
    public int Stride { get; }

    /// <summary>The memory from the first value on: row r begins at r x <see cref="Stride"/>.</summary>
    public Span<ushort> Span => MemoryMarshal.Cast<byte, ushort>(whole.bytes)[offset..];

    /// <summary>Some columns.</summary>
    public PixelMatrix ColumnsFrom(int first, int count) => new(whole, Values.narrow(1, first, count), offset + first);

    /// <summary>Some rows.</summary>
    public PixelMatrix RowsFrom(int first, int count) => new(whole, Values.narrow(0, first, count), offset + first * Stride);

    /// <summary>Becomes the product [rows, k] x [k, columns], summed in float32.</summary>
    public void SetProduct(Tensor left, Tensor right) => Values.addmm_(left, right, beta: 0, alpha: 1);
}
