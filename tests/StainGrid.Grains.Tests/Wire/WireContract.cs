using System.Reflection;
using System.Runtime.CompilerServices;
using StainGrid.Contracts;

namespace StainGrid.Grains.Tests;

/// <summary>What silos of two versions must agree on, as lines: the aliases and ids of messages with their members' types, the methods of grains, the values of
/// enumerations, and the members of what is kept as JSON.</summary>
internal static class WireContract
{
    private const string Retired = "retired";

    /// <summary>The lines of the code as it is.</summary>
    public static IReadOnlySet<string> Current()
    {
        var lines = new SortedSet<string>(StringComparer.Ordinal);
        var seen = new HashSet<Type>();
        foreach (var type in typeof(PlateRequest).Assembly.GetTypes())
        {
            if (type.IsInterface && type.IsAssignableTo(typeof(IAddressable)))
                Grain(type);
            else if (type.IsDefined(typeof(GenerateSerializerAttribute)))
                Message(type);
        }

        foreach (var grain in typeof(PlateGrain).Assembly.GetTypes().Where(type => type.IsAssignableTo(typeof(Grain)) && !type.IsAbstract))
        {
            // By another name it would be another grain beside that of the version before.
            string name = grain.Name.Replace("Grain", "", StringComparison.Ordinal).ToLowerInvariant();
            lines.Add($"type {name}: {string.Join(", ", grain.GetInterfaces().Where(one => one.Namespace == typeof(IPlateGrain).Namespace).Select(Alias).Order(StringComparer.Ordinal))}");
            foreach (var parameter in grain.GetConstructors().SelectMany(constructor => constructor.GetParameters()))
            {
                if (parameter.GetCustomAttribute<PersistentStateAttribute>() is not { } state)
                    continue;
                var record = parameter.ParameterType.GetGenericArguments()[0];
                lines.Add($"state {state.StateName}-{name}: {Name(record)}");
                Json(record);
            }
        }

        Json(typeof(ModelRecord));
        return lines;

        void Grain(Type type)
        {
            string alias = Alias(type);
            // The name is a part of each call, alias or not.
            lines.Add($"grain {alias}: {type.FullName}, {type.GetInterfaces().First(one => one.Name.EndsWith("Key", StringComparison.Ordinal)).Name}");
            foreach (var method in type.GetMethods().Where(method => !method.IsStatic))
                lines.Add($"grain {alias}.{Alias(method)}({string.Join(", ", method.GetParameters().Select(parameter => Name(parameter.ParameterType)))}): {Name(method.ReturnType)}");
        }

        void Message(Type type)
        {
            string alias = Alias(type);
            lines.Add($"message {alias}");
            foreach (var member in type.GetMembers(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            {
                if (member.GetCustomAttribute<IdAttribute>() is { } id)
                    lines.Add($"message {alias} [{id.Id}] {member.Name}: {Name((member as PropertyInfo)?.PropertyType ?? ((FieldInfo)member).FieldType)}{Required(member)}");
            }
        }

        // Types that are kept, with all that they hold. What is a message too has lines of its own.
        void Json(Type type)
        {
            foreach (var part in type.GetGenericArguments())
                Json(part);
            if (type.GetElementType() is { } element)
                Json(element);
            if (type.IsEnum || type.Namespace?.StartsWith("StainGrid", StringComparison.Ordinal) != true || !seen.Add(type))
                return;
            foreach (var property in type.GetProperties().Where(property => property.CanWrite))
            {
                if (!type.IsDefined(typeof(GenerateSerializerAttribute)))
                    lines.Add($"json {type.Name}.{property.Name}: {Name(property.PropertyType)}{Required(property)}");
                Json(property.PropertyType);
            }
        }

        string Name(Type type)
        {
            if (type.IsEnum)
            {
                foreach (object value in Enum.GetValues(type))
                    lines.Add($"enum {type.FullName}.{value} = {Convert.ToInt64(value, System.Globalization.CultureInfo.InvariantCulture)}");
                return type.FullName!;
            }

            return type.IsArray ? Name(type.GetElementType()!) + "[]"
                : type.IsGenericType ? $"{type.Name.Split('`')[0]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
                : type.IsDefined(typeof(GenerateSerializerAttribute)) ? Alias(type)
                : type.Name;
        }

        static string Required(MemberInfo member) => member.IsDefined(typeof(RequiredMemberAttribute)) ? ", required" : "";
    }

    /// <summary>What is not allowed of a change, each with what to do; and the lines that are new.</summary>
    public static (IReadOnlyList<string> Problems, IReadOnlyList<string> Additions) Compare(IReadOnlyCollection<string> approved, IReadOnlyCollection<string> current)
    {
        var problems = new List<string>();
        string[] additions = [.. current.Except(approved)];
        foreach (string line in approved.Except(current))
        {
            if (!line.EndsWith(Retired, StringComparison.Ordinal))
                problems.Add($"'{line}' is gone or another. Silos of the version before still say and keep it: leave it as it is, and add a member with a new Id, a method with a new alias, or a type beside it.");
            else if (additions.FirstOrDefault(added => added.StartsWith(line[..^Retired.Length], StringComparison.Ordinal)) is { } used)
                problems.Add($"'{used}' uses an Id again that meant something else. Give it one that was never used.");
        }

        foreach (string line in additions)
        {
            if (line.EndsWith(", required", StringComparison.Ordinal) && approved.Any(known => Owner(known) == Owner(line)))
                problems.Add($"'{line}' is new and required, and the version before does not send or keep it. Give it a default, which must do for what that version sends.");
        }

        return (problems, additions);

        // The message or the record that a line is of.
        static string Owner(string line) => line.StartsWith("message ", StringComparison.Ordinal) ? string.Join(' ', line.Split(' ').Take(2)) : line.Split('.')[0];
    }

    /// <summary>The lines of an approved file; those of ids that are retired are kept by hand.</summary>
    public static IReadOnlyList<string> Read(string path) => [.. File.ReadAllLines(path).Where(line => line.Length > 0 && line[0] != '#')];

    /// <summary>The text of a file that approves the lines.</summary>
    public static string Text(IEnumerable<string> current, IEnumerable<string> approved) => string.Join('\n',
        [
            "# What silos of two versions agree on (docs/upgrade.md). WireContractTests compares it with the code: additions are approved by copying what the test",
            "# wrote over this file; what is gone or another is refused. Where a member could go at last, its line becomes: message ALIAS [ID] retired",
            .. current.Concat(approved.Where(line => line.EndsWith(Retired, StringComparison.Ordinal))).Distinct().Order(StringComparer.Ordinal),
            "",
        ]);

    private static string Alias(MemberInfo member) => member.GetCustomAttribute<AliasAttribute>()?.Alias
        ?? throw new InvalidOperationException($"{member.DeclaringType?.Name}.{member.Name} has no [Alias]: without one its name is what travels. Give it one.");
}
