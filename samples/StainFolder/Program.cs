// Uploads a folder of images, has it stained, watches, and reads one label as an array:
//   STAINGRID_API_KEY=.. StainFolder https://staingrid.example.org FOLDER [PATTERN]
using StainGrid.Client;
using StainGrid.Contracts;

if (args.Length < 2)
{
    Console.Error.WriteLine("StainFolder SERVER FOLDER [PATTERN]");
    return 2;
}

try
{
    using var client = new HttpStainGridClient(new Uri(args[0]), new HttpStainGridOptions { ApiKey = Environment.GetEnvironmentVariable("STAINGRID_API_KEY") });
    string upload = await client.UploadAsync(args[1], new Progress<UploadProgress>(done => Console.Error.WriteLine($"{done.Files} of {done.TotalFiles} files are there")));
    var plate = await client.SubmitAsync(new PlateSubmission { Source = $"upload:{upload}", Name = Path.GetFileName(args[1]), Pattern = args.ElementAtOrDefault(2) });
    await foreach (var change in client.WatchAsync(plate.PlateId))
    {
        plate = change.Status;
        foreach (var field in change.Fields)
            Console.WriteLine($"{field.Path}: {field.State} {field.Reason}");
    }

    if ((await client.GetFieldsAsync(plate.PlateId)).FirstOrDefault(field => field.State == FieldState.Complete) is { } first)
    {
        string label = (await client.ListModelsAsync())[0].Labels[0];
        var image = await client.ReadAsync(plate.PlateId, first.Path, label);
        Console.WriteLine($"{label} of {first.Path}: {image.Width} x {image.Height}, mean {image.Pixels.ToArray().Average(pixel => pixel):F0}");
    }

    return plate.State == PlateState.Complete ? 0 : 1;
}
catch (StainGridException e)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
