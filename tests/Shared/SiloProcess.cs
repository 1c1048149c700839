using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace StainGrid.TestSupport;

/// <summary>A silo in a process of its own, to be killed, paused and started again under the same name.</summary>
internal sealed partial class SiloProcess : IAsyncDisposable
{
    private const int Kill = 9, Segv = 11, Term = 15, Cont = 18, Stop = 19;   // Linux

    private readonly Func<ProcessStartInfo> _command;
    private readonly string _ready;
    private readonly TimeSpan _timeout;
    private Process? _process;
    private Task _logged = Task.CompletedTask;

    private SiloProcess(string name, Func<ProcessStartInfo> command, string ready, string log, TimeSpan timeout)
    {
        Name = name;
        _command = command;
        _ready = ready;
        Log = log;
        _timeout = timeout;
    }

    /// <summary>The command, in its own project's output of the same configuration; the test's project must refer to it.</summary>
    public static string CommandPath { get; } = Output("src/StainGrid.Cli", "staingrid");

    /// <summary>The silo that its poison brings down; the test's project must refer to it.</summary>
    public static string PoisonPath { get; } = Output("tests/StainGrid.PoisonSilo", "StainGrid.PoisonSilo");

    [GeneratedRegex("/tests/[^/]+/bin/")]
    private static partial Regex TestsBin();

    public string Name { get; }

    /// <summary>The file with both outputs of all its runs, for the post-mortem.</summary>
    public string Log { get; }

    public int Id => _process!.Id;

    /// <summary>The line that said it is ready.</summary>
    public string ReadyLine { get; private set; } = "";

    /// <summary>Where it serves metrics and health (--monitoring), as that line says.</summary>
    public string MonitoringUrl => ReadyLine[(ReadyLine.IndexOf("monitoring ", StringComparison.Ordinal) + "monitoring ".Length)..].TrimEnd(')');

    public bool HasExited => _process is null || _process.HasExited;

    /// <summary>The time that the last start took until the silo said that it is ready.</summary>
    public TimeSpan StartTime { get; private set; }

    /// <summary>Starts a silo and waits for its ready line.</summary>
    /// <param name="program">The command's path, or another program's with the same arguments.</param>
    /// <param name="name">Its name.</param>
    /// <param name="arguments">What follows <c>staingrid silo --name NAME</c>.</param>
    /// <param name="environment">Added to this process's.</param>
    /// <param name="logs">The folder for its log.</param>
    /// <param name="cancellationToken">Stops the start.</param>
    public static Task<SiloProcess> StartAsync(
        string program, string name, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment, string logs, CancellationToken cancellationToken) =>
        StartAsync(
            name,
            () =>
            {
                var info = new ProcessStartInfo(program, ["silo", "--name", name, .. arguments]);
                info.Environment["OMP_WAIT_POLICY"] = "PASSIVE";   // as the launcher sets it
                foreach (var (variable, value) in environment)
                    info.Environment[variable] = value;
                return info;
            },
            $"staingrid: silo {name} ready",
            Path.Combine(logs, name + ".log"),
            cancellationToken);

    /// <summary>Starts any command and waits for a line that starts with <paramref name="ready"/>.</summary>
    /// <exception cref="InvalidOperationException">It ended, or was not ready in time; the message has its log's end.</exception>
    public static async Task<SiloProcess> StartAsync(
        string name, Func<ProcessStartInfo> command, string ready, string log, CancellationToken cancellationToken, TimeSpan? timeout = null)
    {
        var silo = new SiloProcess(name, command, ready, log, timeout ?? TimeSpan.FromMinutes(3));
        try
        {
            await silo.StartAsync(cancellationToken);
            return silo;
        }
        catch
        {
            await silo.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it again, under the same name; what still runs is killed first.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken)
    {
        await KillAsync();
        await StartAsync(cancellationToken);
    }

    /// <summary>Ends it as a dead machine would (SIGKILL) and waits until it is gone. The exit code.</summary>
    public Task<int> KillAsync() => EndAsync(Kill);

    /// <summary>Ends it as a fault in native code would (SIGSEGV).</summary>
    public Task<int> CrashNativeAsync() => EndAsync(Segv);

    /// <summary>Stops all its threads where they are (SIGSTOP).</summary>
    public async Task PauseAsync()
    {
        Signal(Stop);
        for (var waited = Stopwatch.StartNew(); State() != 'T'; await Task.Delay(5))
        {
            if (waited.Elapsed > TimeSpan.FromSeconds(60))
                throw new InvalidOperationException($"{Name} did not pause.");
        }
    }

    /// <summary>Lets it go on (SIGCONT).</summary>
    public Task ResumeAsync()
    {
        Signal(Cont);
        return Task.CompletedTask;
    }

    /// <summary>Waits for its end. Whether it came.</summary>
    public async Task<bool> EndsWithinAsync(TimeSpan limit)
    {
        try
        {
            await _process!.WaitForExitAsync(CancellationToken.None).WaitAsync(limit);
            await _logged;
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>Asks it to stop (SIGTERM) and waits. The exit code.</summary>
    /// <exception cref="TimeoutException">It is still there after <paramref name="grace"/>.</exception>
    public async Task<int> StopAsync(TimeSpan grace)
    {
        Signal(Term);
        return await ExitAsync(grace);
    }

    /// <summary>Waits until it ends by itself. The exit code.</summary>
    /// <exception cref="TimeoutException">It is still there after <paramref name="patience"/>.</exception>
    public async Task<int> ExitAsync(TimeSpan patience) => await EndsWithinAsync(patience)
        ? _process!.ExitCode
        : throw new TimeoutException($"{Name} did not end within {patience.TotalSeconds:f0} s.\n{LogEnd()}");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
    }

    private static string Output(string project, string program) =>
        Path.Combine(TestsBin().Replace(AppContext.BaseDirectory, $"/{project}/bin/", 1), program);

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        var info = _command();
        info.RedirectStandardOutput = true;
        info.RedirectStandardError = true;
        _process?.Dispose();
        var writer = TextWriter.Synchronized(new StreamWriter(Log, append: true) { AutoFlush = true });
        var ready = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        var watch = Stopwatch.StartNew();
        Process process;
        try
        {
            process = _process = Process.Start(info)!;
        }
        catch
        {
            await writer.DisposeAsync();
            throw;
        }

        await writer.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"--- {DateTime.UtcNow:HH:mm:ss.fff} {Name} started, process {process.Id}"));
        _logged = LogAsync();
        try
        {
            ReadyLine = await ready.Task.WaitAsync(_timeout, cancellationToken);
        }
        catch (TimeoutException)
        {
            throw new InvalidOperationException($"{Name} was not ready within {_timeout.TotalSeconds:f0} s.\n{LogEnd()}");
        }

        StartTime = watch.Elapsed;

        async Task LogAsync()
        {
            await Task.WhenAll(CopyAsync(process.StandardOutput), CopyAsync(process.StandardError));
            await process.WaitForExitAsync(CancellationToken.None);
            await writer.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"--- {DateTime.UtcNow:HH:mm:ss.fff} {Name} ended with {process.ExitCode}"));
            await writer.DisposeAsync();
            ready.TrySetException(new InvalidOperationException($"{Name} ended with {process.ExitCode} before it was ready.\n{LogEnd()}"));
        }

        async Task CopyAsync(StreamReader reader)
        {
            while (await reader.ReadLineAsync(CancellationToken.None) is { } line)
            {
                await writer.WriteLineAsync(line);
                if (line.StartsWith(_ready, StringComparison.Ordinal))
                    ready.TrySetResult(line);
            }
        }
    }

    private async Task<int> EndAsync(int signal)
    {
        if (_process is null)
            return 0;
        if (!_process.HasExited)
        {
            _ = Send(_process.Id, signal);   // it may have ended since
            if (signal == Segv)
            {
                // A paused process gets it only then. And .NET's handler has been seen to swallow one that came from outside, once in
                // some dozens: a real fault would come again at once.
                _ = Send(_process.Id, Cont);
                for (int tries = 0; !await EndsWithinAsync(TimeSpan.FromSeconds(2)); tries++)
                    _ = Send(_process.Id, tries < 30 ? signal : Kill);
            }

            await _process.WaitForExitAsync(CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(60));
        }

        await _logged.WaitAsync(TimeSpan.FromSeconds(60));
        return _process.ExitCode;
    }

    private void Signal(int signal)
    {
        if (_process!.HasExited || Send(_process.Id, signal) != 0)
            throw new InvalidOperationException($"{Name} has ended already.\n{LogEnd()}");
    }

    private char State()
    {
        string stat = File.ReadAllText($"/proc/{Id}/stat");
        return stat[stat.LastIndexOf(')') + 2];
    }

    private string LogEnd()
    {
        using var stream = new FileStream(Log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        return string.Join('\n', reader.ReadToEnd().Split('\n').TakeLast(20));
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Send(int process, int signal);
}
