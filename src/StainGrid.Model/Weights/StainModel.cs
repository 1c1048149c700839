using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace StainGrid.Model;

/// <summary>A network and what its file says of it.</summary>
public sealed class StainModel : IDisposable
{
    private const string Another = "It belongs to another network or version; get the model file again.";

    private StainModel(GlobalPixelTransformer network, ModelMetadata metadata, string sha256)
    {
        Network = network;
        Metadata = metadata;
        Sha256 = sha256;
    }

    /// <summary>The network, in evaluation mode unless the caller calls train().</summary>
    public GlobalPixelTransformer Network { get; }

    /// <summary>Variant, labels, normalisation, training, licence.</summary>
    public ModelMetadata Metadata { get; private set; }

    /// <summary>SHA-256 of the file that the model was loaded from or last saved as, 64 lower-case hexadecimal digits; of a
    /// new model, of the float32 file that it would be saved as.</summary>
    public string Sha256 { get; private set; }

    /// <summary>The device that the weights are on.</summary>
    public Device Device { get; private set; } = CPU;

    /// <summary>What the network takes: float32, or bfloat16 after <see cref="RoundWeights"/>.</summary>
    internal ScalarType ActivationType { get; private set; } = ScalarType.Float32;

    /// <summary>A model with initial weights.</summary>
    /// <param name="options">The network's shape.</param>
    /// <param name="labels">The labels it has heads for.</param>
    /// <param name="seed">The seed of the weights: the same seed gives the same file.</param>
    /// <exception cref="ArgumentException">Options or labels are not valid.</exception>
    public static StainModel Create(NetworkOptions options, IReadOnlyList<LabelInfo> labels, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(labels);
        var metadata = new ModelMetadata { Network = options, Labels = [.. labels] };
        metadata.Validate();
        var model = new StainModel(NewNetwork(metadata, seed), metadata, "");
        model.Sha256 = SafetensorsFile.Write(Stream.Null, model.Network.NamedTensors(), metadata.ToStrings());
        return model;
    }

    /// <summary>Reads a model file.</summary>
    /// <param name="path">A safetensors file.</param>
    /// <param name="device">Where to put the weights; the CPU if null.</param>
    /// <param name="name">What errors call the file; its path if null.</param>
    /// <exception cref="ModelFileException">The file is damaged, is not a StainGrid model, or its tensors are not those of the
    /// network that its metadata describes.</exception>
    public static StainModel Load(string path, Device? device = null, string? name = null)
    {
        using var file = SafetensorsFile.Read(path, name);
        path = name ?? path;
        var metadata = ModelMetadata.FromStrings(path, file.Metadata);

        // Before a network is built: its size comes from the metadata, so let the file's own size vouch for it. Half is
        // enough to bound the memory, and lets the check of the names below say which tensor is missing.
        long expected = metadata.Network.ParameterCount(metadata.Labels.Count);
        long present = file.Tensors.Values.Sum(tensor => tensor.numel());
        if (expected / 2 > present)
        {
            throw new ModelFileException(
                path, $"the metadata describes a network of {expected:N0} parameters, and the file holds {present:N0} numbers. {Another}");
        }

        var network = NewNetwork(metadata, seed: 0);
        try
        {
            CopyWeights(path, file, network);
            var model = new StainModel(network, metadata, file.Sha256);
            return device is null ? model : model.To(device);
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>Writes the model file, whole or not at all.</summary>
    /// <param name="path">The file, which is replaced if it is there.</param>
    /// <param name="type">float32, or bfloat16 for half the size: then convolutions' weights are rounded to bfloat16 and the
    /// short vectors (batch norm, biases) stay float32.</param>
    /// <exception cref="ModelFileException">The file cannot be written.</exception>
    /// <exception cref="ArgumentException"><paramref name="type"/> is another.</exception>
    public void Save(string path, ScalarType type = ScalarType.Float32)
    {
        if (type is not (ScalarType.Float32 or ScalarType.BFloat16))
            throw new ArgumentException($"A model is saved as float32 or bfloat16, not {type}.", nameof(type));
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var tensors = Network.NamedTensors().ToDictionary(
            pair => pair.Key, pair => pair.Value.dim() > 1 ? pair.Value.to(type) : pair.Value, StringComparer.Ordinal);
        Sha256 = SafetensorsFile.Write(path, tensors, Metadata.ToStrings());
    }

    /// <summary>A model of the same network for other labels: it has this one's weights, and heads with initial weights for the labels that this one lacks.</summary>
    /// <param name="labels">The labels.</param>
    /// <param name="seed">The seed of the new heads.</param>
    /// <exception cref="ArgumentException">The labels are not valid.</exception>
    public StainModel WithLabels(IReadOnlyList<LabelInfo> labels, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(labels);
        var metadata = Metadata with { Labels = [.. labels], Training = new TrainingSummary() };
        metadata.Validate();
        var model = new StainModel(NewNetwork(metadata, seed), metadata, "");
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var from = Network.NamedTensors();
        foreach (var (name, target) in model.Network.NamedTensors())
        {
            if (from.TryGetValue(name, out var source))
                target.copy_(source);
        }

        model.Sha256 = SafetensorsFile.Write(Stream.Null, model.Network.NamedTensors(), metadata.ToStrings());
        return model;
    }

    /// <summary>Changes what the file will say, such as the training summary; network and labels' names must stay.</summary>
    /// <param name="metadata">The new metadata.</param>
    /// <exception cref="ArgumentException">The metadata is not valid or describes another network.</exception>
    public void Describe(ModelMetadata metadata)
    {
        ArgumentNullException.ThrowIfNull(metadata);
        metadata.Validate();
        if (metadata.Network != Network.Options || !metadata.Labels.Select(label => label.Name).SequenceEqual(Network.Labels))
            throw new ArgumentException("The metadata describes another network than this model's.", nameof(metadata));
        Metadata = metadata;
    }

    /// <summary>Moves the weights.</summary>
    /// <param name="device">A device that libtorch has, such as torch.device("cuda:0").</param>
    /// <returns>This model.</returns>
    public StainModel To(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        Network.to(device);
        Device = device;
        return this;
    }

    /// <summary>Rounds the weights of all convolutions to bfloat16, for devices that multiply these faster: what autocast does at each call, once. Batch
    /// norms stay float32. Not to be trained or saved any more.</summary>
    internal void RoundWeights()
    {
        foreach (var module in Network.modules())
        {
            if (module is Conv2d or ConvTranspose2d)
                module.to(ScalarType.BFloat16);
        }

        ActivationType = ScalarType.BFloat16;
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose() => Network.Dispose();

    private static GlobalPixelTransformer NewNetwork(ModelMetadata metadata, ulong seed) =>
        new(metadata.Network, [.. metadata.Labels.Select(label => label.Name)], seed);

    private static void CopyWeights(string path, SafetensorsFile file, GlobalPixelTransformer network)
    {
        using var scope = NewDisposeScope();
        using var gradients = no_grad();
        var targets = network.NamedTensors();
        foreach (string name in file.Tensors.Keys.Order(StringComparer.Ordinal))
        {
            // PyTorch's own counter of batches; nothing here reads it.
            if (!targets.ContainsKey(name) && !name.EndsWith(".norm.num_batches_tracked", StringComparison.Ordinal))
                throw new ModelFileException(path, $"the tensor '{name}' is not one of the network that the metadata describes. {Another}");
        }

        using Scalar zero = 0;   // see HeldScalars
        foreach (var (name, target) in targets)
        {
            if (!file.Tensors.TryGetValue(name, out var source))
                throw new ModelFileException(path, $"the tensor '{name}' is missing. {Another}");
            if (!source.is_floating_point() || !source.shape.SequenceEqual(target.shape))
            {
                throw new ModelFileException(
                    path, $"the tensor '{name}' is {source.dtype} of shape {Shape(source)}; the network needs floats of {Shape(target)}. {Another}");
            }

            if (!source.isfinite().all().item<bool>())
                throw new ModelFileException(path, $"the tensor '{name}' holds NaN or infinity. Training failed or the file is damaged; use another checkpoint.");
            if (name.EndsWith(".running_var", StringComparison.Ordinal) && source.lt(zero).any().item<bool>())
                throw new ModelFileException(path, $"the tensor '{name}' holds a negative variance. The file is damaged; get it again.");
            target.copy_(source);
        }
    }

    private static string Shape(Tensor tensor) => $"[{string.Join(", ", tensor.shape)}]";
}
