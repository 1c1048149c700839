namespace StainGrid.Grains.Tests;

/// <summary>Silos of the version before run beside these while a cluster is upgraded: what both say and keep may grow, and change in no other way.</summary>
public sealed class WireContractTests
{
    private static readonly string[] s_approved =
    [
        "enum E.A = 0", "grain g.call(Int32): Task", "json R.Name: String", "message a", "message a [0] Name: String, required", "message a [1] retired", "message ab",
    ];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_contract_is_the_approved_one()
    {
        string approvedPath = Path.Combine(AppContext.BaseDirectory, "Wire", "contract.txt"), received = Path.Combine(AppContext.BaseDirectory, "contract.received.txt");
        var approved = WireContract.Read(approvedPath);
        var current = WireContract.Current();
        var (problems, additions) = WireContract.Compare(approved, [.. current]);
        await File.WriteAllTextAsync(received, WireContract.Text(current, approved), Stop);
        Assert.True(problems.Count == 0, $"Silos of the version before could not work beside these (docs/upgrade.md):\n{string.Join('\n', problems)}");
        Assert.True(additions.Count == 0,
            $"New in what silos say to each other or keep:\n{string.Join('\n', additions)}\nThe version before does not know it: it passes over a member, fails a call to a new method, and cannot read an enumeration's new value "
            + $"(docs/upgrade.md). If all that is meant, copy {received} over tests/StainGrid.Grains.Tests/Wire/contract.txt.");
    }

    [Theory]
    [InlineData("message a [2] Other: String")]
    [InlineData("message c [0] Name: String, required")]
    [InlineData("grain g.other(Int32): Task")]
    [InlineData("enum E.B = 1")]
    public void An_addition_is_approved_by_hand(string line)
    {
        var (problems, additions) = WireContract.Compare(s_approved, [.. Without("retired"), line]);
        Assert.Empty(problems);
        Assert.Equal([line], additions);
    }

    [Theory]
    [InlineData("message a [0] Name: String, required", "message a [0] Name: Int32, required", "is gone or another")]
    [InlineData("message a [0] Name: String, required", "message a [0] Title: String, required", "is gone or another")]
    [InlineData("message a [0] Name: String, required", "message a [0] Name: String", "is gone or another")]
    [InlineData("grain g.call(Int32): Task", "grain g.call(Int32, String): Task", "is gone or another")]
    [InlineData("enum E.A = 0", "enum E.A = 1", "is gone or another")]
    [InlineData("json R.Name: String", null, "is gone or another")]
    [InlineData("retired", "message a [1] Other: String", "uses an Id again")]
    [InlineData("retired", "message a [2] Other: String, required", "is new and required")]
    [InlineData("retired", "message ab [0] Other: String, required", "is new and required")]
    [InlineData("retired", "json R.Other: String, required", "is new and required")]
    public void What_the_version_before_cannot_bear_is_refused(string gone, string? line, string said)
    {
        var (problems, _) = WireContract.Compare(s_approved, [.. Without(gone).Where(one => !one.EndsWith("retired", StringComparison.Ordinal)), .. line is null ? (string[])[] : [line]]);
        Assert.Contains(problems, problem => problem.Contains(said, StringComparison.Ordinal));
    }

    [Fact]
    public void An_id_stays_retired_when_additions_are_approved() =>
        Assert.Contains("\nmessage a [1] retired\n", WireContract.Text(["message a"], s_approved), StringComparison.Ordinal);

    private static IEnumerable<string> Without(string end) => s_approved.Where(line => !line.EndsWith(end, StringComparison.Ordinal));
}
