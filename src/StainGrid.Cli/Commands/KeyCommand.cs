using System.CommandLine;
using System.Globalization;
using StainGrid.Imaging;
using StainGrid.Silo.Http;

namespace StainGrid.Cli;

/// <summary>`staingrid key`.</summary>
internal static class KeyCommand
{
    public static Command Create() => new("key", "Make, list and revoke the API keys of a service.") { Make(), List(), Revoke() };

    private static Command Make()
    {
        var tenant = new Option<string>("--tenant") { Description = "Whose plates the key sees: lower-case letters, digits and '-'.", Required = true, HelpName = "NAME" };
        var name = new Option<string>("--name") { Description = "Who or what it is for, as the audit log shows it.", Required = true, HelpName = "TEXT" };
        var role = new Option<ServiceRole>("--role") { Description = "read: see plates and results; submit: also upload, submit, cancel, retry, delete; operate: also the audit log and the dashboard.", DefaultValueFactory = _ => ServiceRole.Submit };
        var days = new Option<int>("--days") { Description = "How long it lasts.", DefaultValueFactory = _ => 365, HelpName = "N" };
        return OnKeys("create", "Make a key. It is printed once, and only a hash of it is kept.", [tenant, name, role, days], async (keys, parsed, cancellationToken) =>
        {
            var (key, secret) = await keys.CreateAsync(parsed.GetValue(name)!, parsed.GetValue(tenant)!, parsed.GetValue(role), TimeSpan.FromDays(parsed.GetValue(days)), cancellationToken);
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Key {key.Id} of {key.Tenant} ({key.Role.ToString().ToLowerInvariant()}), until {key.Expires:yyyy-MM-dd}. Keep it: it cannot be shown again."));
            Console.Out.WriteLine(secret);
            return ExitCodes.Done;
        });
    }

    private static Command List() => OnKeys("list", "List the keys, the oldest first.", [], async (keys, _, cancellationToken) =>
    {
        foreach (var key in await keys.ListAsync(cancellationToken))
        {
            string state = key.Revoked is { } revoked ? $"revoked {revoked:yyyy-MM-dd}" : key.IsValid(DateTimeOffset.UtcNow) ? $"until {key.Expires:yyyy-MM-dd}" : "expired";
            Console.Out.WriteLine($"{key.Id}  {key.Tenant,-16} {key.Role.ToString().ToLowerInvariant(),-8} {state,-20} {key.Name}");
        }

        return ExitCodes.Done;
    });

    private static Command Revoke()
    {
        var id = new Argument<string>("ID") { Description = "The key's id, as the list has it." };
        var command = OnKeys("revoke", $"Revoke a key: after {ApiKeys.Delay.TotalSeconds:0} seconds nobody is let in by it.", [], async (keys, parsed, cancellationToken) =>
        {
            if (await keys.RevokeAsync(parsed.GetValue(id)!, cancellationToken))
                return ExitCodes.Done;
            Console.Error.WriteLine($"staingrid: there is no key {parsed.GetValue(id)}. See 'staingrid key list'.");
            return ExitCodes.Failed;
        });
        command.Arguments.Add(id);
        return command;
    }

    private static Command OnKeys(string name, string description, Option[] options, Func<ApiKeys, ParseResult, CancellationToken, Task<int>> act)
    {
        var state = ServiceChoice.Setting("state", "STORE", "The state of the service: DIR/state of 'staingrid serve --data DIR', --state of a cluster's silos.");
        var command = new Command(name, description) { state };
        foreach (var option in options)
            command.Options.Add(option);
        command.Runs(async (parsed, cancellationToken) =>
        {
            string store = ServiceChoice.Value(parsed, state) ?? throw new ArgumentException($"--state is missing. Give it, or set {ServiceChoice.Variable(state)}.");
            return await act(ApiKeys.Of(BlobStores.Open(store)), parsed, cancellationToken);
        });
        return command;
    }
}
