using System.CommandLine;
using StainGrid.Contracts;
using StainGrid.Imaging;

namespace StainGrid.Cli;

/// <summary>`staingrid stain`.</summary>
internal static class StainCommand
{
    public static Command Create()
    {
        var inputs = new Argument<string[]>("INPUT")
        {
            Description = "Grey PNG (8 or 16 bit), TIFF (8 or 16 bit, float; stacks, OME-TIFF, BigTIFF) or OME-Zarr image: a path, azure://CONTAINER/KEY or https://.. Each is one slide.",
            Arity = ArgumentArity.OneOrMore,
        };
        var output = new Option<string>("--output", "-o")
        {
            Description = "A folder: each input becomes NAME.ome.zarr (the data) and NAME.png (a picture) in it.",
            Required = true,
            HelpName = "FOLDER",
        };
        var stack = new Option<bool>("--stack") { Description = "The inputs are the planes of one slide, in the order given." };
        var options = new StainOptions();
        var run = new RunOptions();
        var command = new Command("stain",
            """
            Predict fluorescence images of unlabeled microscopy.

            Examples:
              staingrid stain field.tif -o stained
              staingrid stain *.png -o stained --labels DAPI_CONFOCAL --statistics mean,sd
              staingrid stain z-0.png z-1.png z-2.png --stack --plane all -o stained
              staingrid stain azure://plates/in/field.tif -m azure://models/neuron.safetensors -o stained

            Inputs that fail are named, and the others go on. Outputs are OME-Zarr 0.4, 16 bit, one channel a label and
            statistic; what made them stands in their attributes under "staingrid". An output that was not finished is
            marked incomplete; the next run with the same settings goes on where it stopped.
            azure:// takes its connection string from AZURE_STORAGE_CONNECTION_STRING, or else your identity and the account in
            AZURE_STORAGE_SERVICE_URI; https:// URLs may end with a shared access signature, which is not shown. What is read of blobs is kept in the temporary folder until the command ends.
            """)
        {
            inputs,
            output,
            stack,
            run.Device,
            run.Threads,
            run.Overwrite,
            run.Json,
            run.Verbose,
        };
        options.AddTo(command);
        command.Runs(async (parsed, cancellationToken) =>
        {
            string[] files = parsed.GetValue(inputs)!;
            bool json = parsed.GetValue(run.Json);
            var slides = parsed.GetValue(stack) ? [files] : files.Select(file => (string[])[file]).ToArray();
            string folder = Path.GetFullPath(parsed.GetValue(output)!);
            try
            {
                Directory.CreateDirectory(folder);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new ImageException($"{folder} cannot be made a folder ({e.Message}). Give another --output.", e);
            }

            var settings = await options.SettingsAsync(parsed, cancellationToken);
            await using var session = await StainSession.StartAsync(run.Devices(parsed), parsed.GetValue(run.Verbose));
            int exit = ExitCodes.Done;
            var taken = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
            foreach (string[] slide in slides)
            {
                string name = BlobAddress.FileName(slide[0]);
                string target = Path.Combine(folder, Path.GetFileNameWithoutExtension(name) + ".ome.zarr");
                if (!taken.Add(target))
                {
                    ResultReport.Failure(BlobAddress.Show(slide[0]), $"{BlobAddress.Show(slide[0])}: another input has the same output {target}. Stain it to another folder.", json);
                    exit = ExitCodes.Failed;
                    continue;
                }

                var request = new SlideRequest
                {
                    Files = [.. slide.Select(BlobAddress.Full)],
                    Settings = settings,
                    Output = target,
                    Overwrite = parsed.GetValue(run.Overwrite),
                };
                var result = await session.StainAsync(request, name, !json, cancellationToken);
                string? preview = result.Status.State == SlideState.Complete ? await PreviewAsync(result, session.Inputs, cancellationToken) : null;
                ResultReport.Write(result, preview, json);
                if (cancellationToken.IsCancellationRequested)
                    return ExitCodes.Interrupted;
                if (result.Status.State != SlideState.Complete)
                    exit = ExitCodes.Failed;
            }

            return exit;
        });
        return command;
    }

    /// <summary>Writes the picture beside the image; a picture that cannot be written is no reason to fail.</summary>
    public static async Task<string?> PreviewAsync(StainResult result, BlobFiles inputs, CancellationToken cancellationToken)
    {
        string path = result.Request.Output[..^".ome.zarr".Length] + ".png";
        try
        {
            await SlidePreview.WriteAsync(result.Request, inputs, path, cancellationToken);
            return path;
        }
        catch (Exception e) when (e is ImageException or BlobStoreException or IOException or OperationCanceledException)
        {
            Console.Error.WriteLine($"{path}: the picture was not written ({e.Message}); the image is complete.");
            return null;
        }
    }
}
