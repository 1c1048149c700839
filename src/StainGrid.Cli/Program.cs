using System.CommandLine;
using StainGrid.Cli;

var root = new RootCommand(
    """
    StainGrid predicts fluorescence images from unlabeled microscopy ("virtual staining").

    Start with:   staingrid demo
    Then:         staingrid stain IMAGE -o OUT

    Exit codes: 0 all done; 1 an input could not be stained or read; 2 the command line is wrong; 130 stopped by Ctrl-C.
    """)
{
    StainCommand.Create(),
    PlateCommand.Create(),
    DemoCommand.Create(),
    InfoCommand.Create(),
    ModelCommand.Create(),
    DataCommand.Create(),
    TrainCommand.Create(),
    EvaluateCommand.Create(),
    AblateCommand.Create(),
    ServeCommand.Create(),
    KeyCommand.Create(),
    SiloCommand.Create(),
    HealthCommand.Create(),
    DoctorCommand.Create(),
    HousekeepingCommand.Create(),
};

var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors)
        Console.Error.WriteLine($"staingrid: {error.Message}");
    Console.Error.WriteLine($"Say 'staingrid {parsed.CommandResult.CommandPath()}--help' for what there is.");
    return ExitCodes.Usage;
}

// Ctrl-C cancels the slides in the works and lets them end in good order, however long the batch on the device takes;
// a silo finishes or returns its leases.
return await parsed.InvokeAsync(new InvocationConfiguration
{
    ProcessTerminationTimeout = TimeSpan.FromMinutes(3),
    EnableDefaultExceptionHandler = false,
});
