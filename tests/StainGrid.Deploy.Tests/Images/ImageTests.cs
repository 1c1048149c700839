using System.Diagnostics;
using System.Text.RegularExpressions;
using StainGrid.Imaging;
using StainGrid.TestSupport;

namespace StainGrid.Deploy.Tests.Images;

/// <summary>No container engine is needed: the image's own lines are run in a clean folder with what a build would see, and then its program
/// as its user on a root file system that is only read.</summary>
public sealed class ImageTests(ITestOutputHelper log) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task The_lines_of_the_image_build_a_program_that_stains_and_serves_where_only_the_temporary_folder_is_written()
    {
        var clock = Stopwatch.StartNew();
        string source = _folder.File("source");
        foreach (string file in await BuildContext.FilesAsync(Stop))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(source, file))!);
            File.Copy(Checkout.File(file), Path.Combine(source, file));
        }

        foreach (var run in Dockerfile.Ours.Stages[0].Where(instruction => instruction.Name == "RUN"))
            await ShellAsync(run.Rest, source, Dockerfile.Ours.Defaults);
        log.WriteLine($"Built after {clock.Elapsed.TotalSeconds:0} s.");

        // The last stage takes one folder of the first.
        string[] copied = Dockerfile.Ours.Stages[1].Single(instruction => instruction.Name == "COPY").Arguments.Split(' ');
        Assert.StartsWith("/source/", copied[0], StringComparison.Ordinal);
        string program = Path.Combine(source, copied[0]["/source/".Length..]);
        Assert.Equal("", await ShellAsync("find . -type f -links +1", program, []));   // nothing that is changed here changes the packages
        await AssertLibrariesAsync(program);

        var environment = Dockerfile.Ours.Stages[1].Single(instruction => instruction.Name == "ENV").Rest.Split(' ').Select(pair => pair.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
        environment["PATH"] = environment["PATH"].Replace(copied[1], program, StringComparison.Ordinal).Replace("${PATH}", "/usr/sbin:/usr/bin:/sbin:/bin", StringComparison.Ordinal);
        environment["DOTNET_ROOT"] = Path.GetDirectoryName(new FileInfo("/usr/bin/dotnet") is { Exists: true } link ? link.ResolveLinkTarget(true)?.FullName ?? link.FullName : Environment.ProcessPath!)!;
        environment["TMPDIR"] = Directory.CreateDirectory(_folder.File("tmp")).FullName;
        environment["STAINGRID_HTTP"] = $"127.0.0.1:{FreePort.Next()}";
        environment["STAINGRID_MONITORING"] = $"127.0.0.1:{FreePort.Next()}";
        PngWriter.WriteGrey16(_folder.File("field.png"), [.. Enumerable.Range(0, 200 * 150).Select(i => (ushort)(i * 37 % 60_000))], 200, 150);
        string health = string.Join(' ', Regex.Match(Dockerfile.Ours.Stages[1].Single(instruction => instruction.Name == "HEALTHCHECK").Arguments, @"^CMD (\[.*\])$").Groups[1].Value.Trim('[', ']').Split(", ").Select(word => word.Trim('"')));

        bool mounts = Environment.UserName == "root" && (await ShellAsync("unshare --mount true 2>/dev/null && echo yes || echo no", _folder.Path, [])).Trim() == "yes";
        await File.WriteAllTextAsync(_folder.File("run"), $"""
            set -eu
            for place in "{program}" {(mounts ? $"\"{_folder.Path}\" /tmp /var/tmp" : "")}; do
              if touch "$place/staingrid-written" 2>/dev/null; then echo "$place can be written."; exit 1; fi
            done
            test -z "$(printenv HOME || true)"
            staingrid --help >/dev/null
            cd "$TMPDIR"
            staingrid stain "{_folder.File("field.png")}" -o stained --stride 128 --json
            test -f stained/field.ome.zarr/.zattrs
            staingrid serve --data "$TMPDIR/data" >served 2>&1 &
            served=$!
            tries=0
            until {health} 2>unwell; do
              tries=$((tries + 1))
              if [ $tries -gt 60 ] || ! kill -0 $served; then cat served unwell; exit 1; fi
              sleep 0.5
            done
            {health} --timeout 60 --ready
            kill -TERM $served
            wait $served
            if {health} 2>&1; then exit 1; fi
            echo all done
            """, Stop);
        string output = await ShellAsync(ReadOnly(environment, mounts), _folder.Path, []);
        log.WriteLine(output);
        Assert.EndsWith("all done\n", output, StringComparison.Ordinal);
        Assert.Contains("\"output\":\"stained/field.ome.zarr\"", Regex.Unescape(output).Replace(environment["TMPDIR"] + "/", "", StringComparison.Ordinal), StringComparison.Ordinal);
        log.WriteLine($"All of it took {clock.Elapsed.TotalSeconds:0} s.");
    }

    // As root, in a mount namespace of its own whose file systems are only read, but for a fresh one at TMPDIR, as the image's user; where that is not
    // allowed, as that user with what is built without its write bits; as anybody else, with the latter alone.
    private string ReadOnly(Dictionary<string, string> environment, bool mounts)
    {
        string variables = string.Join(' ', environment.Select(pair => $"'{pair.Key}={pair.Value}'"));
        string run = $"env -i {variables} sh {_folder.File("run")}";
        if (Environment.UserName != "root")
            return $"chmod -R a-w {_folder.File("source")} && {run}; status=$?; chmod -R u+w {_folder.File("source")}; exit $status";
        string[] user = Dockerfile.Ours.Stages[1].Last(instruction => instruction.Name == "USER").Rest.Split(':');
        if (!mounts)
            return $"chmod 755 {_folder.Path} && chmod -R a-w {_folder.File("source")} && chmod 1777 {environment["TMPDIR"]} && exec setpriv --reuid {user[0]} --regid {user[1]} --clear-groups {run}";
        return $$"""
            chmod 755 {{_folder.Path}}
            unshare --mount sh -eu -c '
              mount --make-rprivate /
              awk "\$4 ~ /^rw/ && \$3 !~ /^(proc|sysfs|devpts|cgroup2?|mqueue)\$/ { print \$2 }" /proc/self/mounts | while read -r at; do mount -o remount,ro,bind "$at" 2>/dev/null || true; done
              mount -t tmpfs -o mode=1777 tmpfs {{environment["TMPDIR"]}}
              exec setpriv --reuid {{user[0]}} --regid {{user[1]}} --clear-groups --no-new-privs --inh-caps=-all {{run.Replace("'", "\"", StringComparison.Ordinal)}}'
            """;
    }

    // What the native libraries need and do not bring comes from packages that the image installs.
    private static async Task AssertLibrariesAsync(string program)
    {
        if (!File.Exists("/usr/bin/dpkg"))
            return;
        string apt = Dockerfile.Ours.Stages[1].Single(instruction => instruction.Name == "RUN").Rest;
        string[] installed = [.. Regex.Match(apt, "--no-install-recommends ([^&]*)").Groups[1].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries), "libc6"];
        string needed = await ShellAsync(
            "find . -name '*.so*' -type f -exec ldd {} + 2>/dev/null | awk '$2 == \"=>\" { print $1, $3 }' | sort -u", program, []);
        Assert.Contains("libtorch_cpu.so ", needed, StringComparison.Ordinal);
        foreach (string[] library in needed.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')))
        {
            Assert.True(library[1] != "not", $"{library[0]} is not found.");
            if (!Path.GetFullPath(library[1], program).StartsWith(program, StringComparison.Ordinal))
                Assert.Contains((await ShellAsync($"dpkg -S '*/{library[0]}' | cut -d: -f1 | head -1", program, [])).Trim(), installed);
        }
    }

    private static Task<string> ShellAsync(string line, string folder, Dictionary<string, string> environment) =>
        Checkout.RunAsync("env", [.. environment.Select(pair => $"{pair.Key}={pair.Value}"), "/bin/sh", "-c", line], folder, null, Stop);
}
