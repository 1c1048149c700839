using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Storage;
using StainGrid.Contracts;
using StainGrid.Imaging;
using StainGrid.Model;

namespace StainGrid.Grains;

/// <summary>Carries a plate from submission to its end, a window of fields at a time. Its record is durable; what is durable of a
/// field is its output, so that a plate whose grain was lost goes on where it was.</summary>
[RequireSiloMetadata(SiloMetadataKeys.Cpu, "true")]
public sealed partial class PlateGrain(
    [PersistentState("plate")] IPersistentState<PlateRecord> plate,
    [PersistentState("layout")] IPersistentState<LayoutRecord> layout,
    SlidePreparation preparation,
    ClusterPrecision precision,
    BlobFiles blobs,
    IHostApplicationLifetime host,
    TimeProvider time,
    ILogger<PlateGrain> logger) : Grain, IPlateGrain, IRemindable, IDisposable
{
    private const string Reminder = "wake";
    private const int SlidesAtOnce = 16;
    private const int MostDoublings = 6;
    private static readonly TimeSpan ReminderPeriod = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(10);

    private readonly SemaphoreSlim saving = new(1);
    private readonly CancellationTokenSource ended = new();
    private readonly Dictionary<int, Task> tasks = [];
    private readonly Dictionary<int, SlideStatus> running = [];
    private readonly Signal changed = new();
    private long version = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() << 10;   // above that of any earlier grain; exact in a double
    private long tilesOfEndedFields;
    private int devices;
    private bool ran;
    private bool ending;
    private bool deleting;
    private PlateDeletion? asked;   // of the next try, while one runs
    private int failedDeletions;
    private string? waiting;
    private Task? run;
    private PlateOutput? output;
    private int? wells;
    private FieldState[] durable = [];   // what is told of the fields: after a loss a state that was not written is not true any more
    private FieldStatus[] seen = [];
    private long[] changedAt = [];
    private long seenVersion = -1;

    private string PlateId => this.GetPrimaryKeyString();

    // As who submitted it knows it: without its tenant.
    private string ToldId => PlateId[(PlateId.IndexOf('~', StringComparison.Ordinal) + 1)..];

    private PlateRecord Record => plate.State;

    private IReadOnlyList<PlateField> Fields => layout.State.Layout?.Fields ?? [];

    // Kept for the activation: it knows what it has listed.
    private PlateOutput Output => output ??= new PlateOutput(PlateId, Record.Request!, layout.State.Layout!, Record.ContentHash);

    // An end is told once it is durable. Of a plate that is being deleted nothing is told any more.
    private PlateState State => Record.Deletion is not null ? PlateState.New : ending ? PlateState.Running : Record.State;

    private bool IsFinal => State is not (PlateState.New or PlateState.Running);

    /// <inheritdoc/>
    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        durable = Record.Deletion is null ? [.. Record.Fields] : [];
        Go();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await ended.CancelAsync();
        if (run is not null)
            await run.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        if (Record.State != PlateState.Running || !Record.Fields.Contains(FieldState.Running))
            return;

        // A stop in good order is no loss, which a field could be blamed for.
        for (int i = 0; i < Record.Fields.Length; i++)
        {
            if (Record.Fields[i] == FieldState.Running)
                Record.Fields[i] = FieldState.Pending;
        }

        try
        {
            await SaveAsync();
        }
        catch (Exception e)
        {
            LogRun(logger, e, PlateId);
        }
    }

    /// <inheritdoc/>
    public async Task SubmitAsync(PlateRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var received = time.GetUtcNow();
        using var span = Telemetry.Submission(PlateId);

        // The version that the name meant when the plate was submitted stays, whatever it means now.
        if (Record.Request?.ModelName is { } name && name == request.ModelName && ModelRegistry.HashOf(request.Settings.Model) is { } now)
            request = request with { Settings = request.Settings with { Model = request.Settings.Model.Replace(now, Record.ModelSha256, StringComparison.Ordinal) } };
        var (found, hash, model) = await CheckAsync(request);
        if (Record.Deletion is not null)
            throw new PlateException("A plate of this id is being deleted. Submit this one in a while, or under another id.") { IsConflict = true };
        if (Record.Request is not null)
        {
            if (!Record.Request.SameAs(request))
                throw new PlateException($"The plate {ToldId} was submitted with other settings. Give this one another id.") { IsConflict = true };
            if (Record.ContentHash != hash)
                throw new PlateException(request.Tell($"The images of {BlobAddress.Show(request.Source)} are not those that the plate {ToldId} was submitted with. Give this one another id.")) { IsConflict = true };
            if (Record.ModelSha256 != model)
                throw new PlateException(request.Tell($"{BlobAddress.Show(request.Settings.Model)} is another model than when the plate {ToldId} was submitted. Give this one another id and output.")) { IsConflict = true };

            // Signatures may have been renewed: fields that start from now on use these.
            layout.State.Layout = found;
            await layout.WriteStateAsync();
            if (Record.Request.Output != request.Output)
                output = null;   // not disposed of: the run may be writing with it
            Record.Request = request;
            await SaveAsync();
            if (!IsFinal)
                await AnnounceAsync();
            Go();
            return;
        }

        layout.State.Layout = found;
        wells = null;
        await layout.WriteStateAsync();
        Record.Request = request;
        Record.ModelSha256 = model;
        Record.Precision = precision.Of(request.Settings.Precision);
        Record.ContentHash = hash;
        Record.Incarnation = await WasHereAsync() ? Guid.NewGuid().ToString("n")[..8] : "";
        (Record.Received, Record.Submitted, Record.TraceParent) = (received, time.GetUtcNow(), span?.Id);
        Record.Fields = new FieldState[found.Fields.Count];
        for (int i = 0; i < found.Fields.Count; i++)
        {
            if (found.Fields[i].Problem is { } problem)
                Fail(i, problem, "input");
        }

        await RunAgainAsync();
    }

    /// <inheritdoc/>
    public async Task<PlateStatus> GetStatusAsync(long version = -1, TimeSpan wait = default)
    {
        if (version == this.version && wait > TimeSpan.Zero && !IsFinal)
            await changed.WaitAsync(wait, host.ApplicationStopping);
        int Count(FieldState state) => durable.Count(field => field == state);
        return new PlateStatus
        {
            PlateId = PlateId,
            State = State,
            Version = this.version,
            Wells = wells ??= Fields.Select(field => field.Well).Distinct().Count(),
            Fields = durable.Length,
            FieldsComplete = Count(FieldState.Complete),
            FieldsFailed = Count(FieldState.Failed),
            FieldsRunning = IsFinal ? 0 : running.Count,
            TilesDone = tilesOfEndedFields + running.Values.Sum(status => status.TilesDone),
            BlocksRetried = Record.BlocksRetried,
            SecondsWasted = Record.SecondsWasted,
            Waiting = waiting,
            Error = Record.Error,
            Submitted = Record.Submitted,
            Generation = Record.Generation,
            Name = Record.Request?.Name,
        };
    }

    /// <inheritdoc/>
    public async Task<PlateChange> WatchAsync(long after, TimeSpan wait)
    {
        Compare();
        if (after == version && wait > TimeSpan.Zero && !IsFinal)
        {
            await changed.WaitAsync(wait, host.ApplicationStopping);
            Compare();
        }

        // A watcher that is ahead saw the plate's grain on a silo whose clock is: it is told all.
        var fields = after > version ? seen : [.. seen.Where((_, i) => changedAt[i] > after)];
        return new PlateChange(await GetStatusAsync(), fields);
    }

    /// <inheritdoc/>
    public Task<FieldInput?> GetInputAsync(string path) =>
        Task.FromResult(Record.Deletion is null && Fields.FirstOrDefault(field => field.Path == path) is { } field ? new FieldInput(field.Files, Record.Request?.Settings.Plane) : null);

    /// <inheritdoc/>
    public Task<IReadOnlyList<FieldStatus>> GetFieldsAsync() => Task.FromResult<IReadOnlyList<FieldStatus>>(Record.Deletion is null ? [.. Fields.Select(StatusOf)] : []);

    /// <inheritdoc/>
    public async Task CancelAsync()
    {
        if (Record.Request is null || Record.Deletion is not null || IsFinal)
            return;
        var slides = Enumerable.Range(0, Record.Fields.Length).Where(i => Record.Fields[i] == FieldState.Running).Select(SlideOf).ToArray();
        int cancelled = 0;
        for (int i = 0; i < Record.Fields.Length; i++)
        {
            if (Record.Fields[i] is FieldState.Pending or FieldState.Running)
            {
                Record.Fields[i] = FieldState.Cancelled;
                cancelled++;
            }
        }

        // Durable first: a plate that is woken after a loss must not go on.
        try
        {
            await EndAsync(PlateState.Cancelled);
        }
        catch
        {
            await ReadAsync();
            throw;
        }
        finally
        {
            // Also where it is durable and could not be told: asked again it is cancelled already.
            if (Record.State == PlateState.Cancelled)
            {
                Telemetry.Field(FieldState.Cancelled, null, cancelled);
                foreach (var slide in slides)
                    slide.CancelAsync().Ignore();
            }
        }
    }

    /// <inheritdoc/>
    public async Task<int> RetryAsync(int generation)
    {
        if (Record.Generation > generation)
            return Record.Retried;
        if (Record.Request is null || !IsFinal)
            return 0;
        int retried = 0;
        for (int i = 0; i < Record.Fields.Length; i++)
        {
            if (Record.Fields[i] is FieldState.Failed or FieldState.Cancelled && Fields[i].Problem is null)
            {
                Record.Fields[i] = FieldState.Pending;
                Record.Reasons.Remove(i);
                Record.Trials.Remove(i);
                retried++;
            }
        }

        if (retried > 0)
        {
            Record.Generation++;
            Record.Retried = retried;
            Record.Error = null;
            await RunAgainAsync();
        }

        return retried;
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(PlateDeletion deletion)
    {
        ArgumentNullException.ThrowIfNull(deletion);
        if (Record.Request is null)
            return;
        if (Record.Deletion is null && !IsFinal)
            throw new PlateException("The plate runs. Cancel it, then delete it.") { IsConflict = true };

        // One that cannot succeed, by a signature that has expired, say, goes on by what it is asked for again.
        if (Record.Deletion is null || (Record.Deletion != deletion && !deleting))
        {
            // Durable first: what has begun to go must not be taken for a plate any more, and nothing goes before that.
            deleting = true;
            Record.Deletion = deletion;
            try
            {
                await WriteAsync();
            }
            catch
            {
                await ReadAsync();
                throw;
            }
            finally
            {
                deleting = false;
            }

            durable = [];
            Change();
        }

        if (!ended.IsCancellationRequested && !deleting)
        {
            DelayDeactivation(Timeout.InfiniteTimeSpan);
            run = DeleteAllAsync(run);
        }
        else if (deletion.Result && Record.Deletion != deletion)
        {
            asked = deletion;   // the record is the try's until its end
        }

        await this.RegisterOrUpdateReminder(Reminder, ReminderPeriod, ReminderPeriod);
        await Index.DeletingAsync(PlateId);
    }

    /// <inheritdoc/>
    public Task WakeAsync()
    {
        Go();
        if (Record.Deletion is not null)
            return Task.CompletedTask;
        if (Record.Request is null)
            DeactivateOnIdle();
        return Index.ForgetAsync(PlateId);   // its deletion was stopped between its last two steps, or asked for again there
    }

    private void Go()
    {
        if ((Record.State == PlateState.Running || Record.Deletion is not null) && run is null or { IsCompleted: true } && !deleting && !ended.IsCancellationRequested)
        {
            DelayDeactivation(Timeout.InfiniteTimeSpan);
            run = Record.Deletion is null ? RunAsync() : DeleteAllAsync(Task.CompletedTask);
        }
    }

    /// <inheritdoc/>
    public async Task ReceiveReminder(string reminderName, TickStatus status)
    {
        if (Record.State == PlateState.Running || Record.Deletion is not null)
        {
            Go();
            return;
        }

        if (Record.Request is not null)
            await Index.SetAsync(Summary);
        await ForgetReminderAsync();
    }

    /// <summary>At the end of the activation.</summary>
    public void Dispose()
    {
        ended.Dispose();
        saving.Dispose();
        output?.Dispose();
    }

    // All that can be known to be wrong before a field runs.
    private async Task<(PlateLayout Layout, string ContentHash, string ModelSha256)> CheckAsync(PlateRequest request)
    {
        try
        {
            return await Task.Run(async () =>
            {
                string model = await preparation.CheckModelAsync(request.Settings, ended.Token);
                var found = await PlateDiscovery.DiscoverAsync(request.Source, request.Pattern, blobs, ended.Token);
                return (found, found.ContentHash(ended.Token), model);
            });
        }
        catch (Exception e) when (e is ImageException or ModelFileException or SlideException or BlobStoreException)
        {
            throw new PlateException(request.Tell(e.Message), e);
        }
    }

    // Whether grains still hold something of a plate of this id that was deleted. Only then has this one an incarnation: a silo of the version before, which knows none,
    // would go on under other names beside the slides that run.
    private async Task<bool> WasHereAsync()
    {
        try
        {
            return (await Task.WhenAll(Enumerable.Range(0, Math.Min(Fields.Count, SlidesAtOnce)).Select(field => SlideOf(field).GetStatusAsync()))).Any(status => status.State != SlideState.New);
        }
        catch (Exception e) when (e.IsTransient(ended.Token))
        {
            return true;
        }
    }

    // Makes the plate run, durably, or leaves it as it was.
    private async Task RunAgainAsync()
    {
        try
        {
            await Output.ClaimAsync(ended.Token);
            (Record.State, Record.Ended) = (PlateState.Running, null);
            await SaveAsync();
            await AnnounceAsync();
        }
        catch
        {
            // The next request of this id may be another.
            output?.Dispose();
            output = null;
            await ReadAsync();
            throw;
        }

        Go();
    }

    // What wakes the plate after a loss.
    private async Task AnnounceAsync()
    {
        await this.RegisterOrUpdateReminder(Reminder, ReminderPeriod, ReminderPeriod);
        await Index.SetAsync(Summary);
    }

    private async Task RunAsync()
    {
        int generation = Record.Generation;
        bool Current() => Record.State == PlateState.Running && Record.Generation == generation;
        try
        {
            if (!ran)
            {
                // Fields that ran when this plate's last grain was lost may have been what its silo was lost by.
                ran = true;
                int[] lost = [.. Enumerable.Range(0, Record.Fields.Length).Where(i => Record.Fields[i] == FieldState.Running)];
                foreach (int field in lost)
                    Lost(field, alone: lost.Length == 1);
            }

            await ListAsync([.. Enumerable.Range(0, Record.Fields.Length)]);
            while (Current())
            {
                var next = await NextAsync();
                next.RemoveAll(i => Record.Fields[i] != FieldState.Pending);
                if (!Current() || (next.Count == 0 && tasks.Count == 0))
                    break;
                foreach (int field in next)
                    Record.Fields[field] = FieldState.Running;
                if (next.Count > 0)
                    await SaveAsync();
                bool alone = tasks.Count == 0 && next.Count == 1;
                foreach (int field in next.Where(_ => Current()))
                    tasks[field] = RunFieldAsync(field, alone, Current);
                await Task.WhenAny([.. tasks.Values, Task.Delay(Beat, ended.Token)]);

                // The record and the list of fields grow with the plate: they are written once for all fields that end in a moment.
                await Task.Delay(Gathering, ended.Token);
                int[] done = [.. tasks.Where(task => task.Value.IsCompleted).Select(task => task.Key)];
                foreach (int field in done)
                {
                    tasks.Remove(field, out var task);
                    await task!;
                }

                if (done.Length > 0)
                {
                    await SaveAsync();
                    await ListAsync(done);
                }
            }

            await Task.WhenAll(tasks.Values);
            await ListAsync([.. tasks.Keys]);   // also those that ended just before a cancel
            tasks.Clear();
            if (!Current())
                return;
            waiting = null;
            await Output.CompleteAsync(Record, ended.Token);
            int complete = Record.Fields.Count(state => state == FieldState.Complete);
            Record.Error = complete > 0 ? null : $"No field of the plate could be stained. The first: {Record.Reasons.Values.FirstOrDefault()}";
            await EndAsync(complete == 0 ? PlateState.Failed : complete == Record.Fields.Length ? PlateState.Complete : PlateState.CompleteWithFailures);
        }
        catch (Exception) when (ended.IsCancellationRequested)
        {
            // This grain is going; the plate is woken elsewhere.
        }
        catch (InconsistentStateException e)
        {
            // Another activation of this plate has written: it is the one that goes on.
            LogRun(logger, e, PlateId);
            DeactivateOnIdle();
        }
        catch (Exception e)
        {
            // The store fails, or a silo was lost at the wrong moment: the plate is woken again, and keeps the fields that run.
            LogRun(logger, e, PlateId);
            waiting = Record.Request!.SourceName is null ? $"{e.Message.Split('\n')[0]} The plate tries again." : "The store fails, or a silo was lost. The plate tries again.";
            Change();
            await Task.Delay(Beat);
        }
    }

    // What is there of the plate goes, the record last: whatever stops this, it is found and gone on with.
    private async Task DeleteAllAsync(Task? before)
    {
        deleting = true;
        var pause = TimeSpan.Zero;
        try
        {
            if (before is not null)
                await before.WaitAsync(ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            ended.Token.ThrowIfCancellationRequested();
            await Index.DeletingAsync(PlateId);
            if (asked is { } other)
            {
                (Record.Deletion, asked) = (other, null);
                await WriteAsync();
            }

            var (request, deletion) = (Record.Request!, Record.Deletion!);
            if (deletion.Result)
                await DeleteResultAsync(request, deletion);
            await layout.ClearStateAsync();
            await ForgetReminderAsync();
            await plate.ClearStateAsync();
            output?.Dispose();
            (output, wells, tilesOfEndedFields, asked) = (null, null, 0, null);
            await Index.ForgetAsync(PlateId);
            Telemetry.Deleted("plate");
            LogDeleted(logger, PlateId);
            if (Record.Request is null)
            {
                DeactivateOnIdle();
            }
            else
            {
                // The id was used again since the record went.
                (run, deleting) = (null, false);
                Go();
            }
        }
        catch (Exception) when (ended.IsCancellationRequested)
        {
            // This grain is going; the plate is woken elsewhere.
        }
        catch (InconsistentStateException e)
        {
            LogDeleting(logger, e, PlateId);
            DeactivateOnIdle();
        }
        catch (Exception e)
        {
            // The store fails, or a silo was lost: the plate is woken again.
            LogDeleting(logger, e, PlateId);
            pause = Beat * (1 << failedDeletions);
            failedDeletions = Math.Min(failedDeletions + 1, MostDoublings);
        }

        deleting = false;
        await Task.Delay(pause, ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    private async Task DeleteResultAsync(PlateRequest request, PlateDeletion deletion)
    {
        // Slides of a plate that was cancelled may have missed it.
        int[] cancelled = [.. Enumerable.Range(0, Fields.Count).Where(i => Record.Fields.ElementAtOrDefault(i) == FieldState.Cancelled)];
        foreach (int[] some in cancelled.Chunk(SlidesAtOnce))
            await Task.WhenAll(some.Select(field => SlideOf(field).CancelAsync()));

        // An output that was made, and is at the place that the deletion is of.
        string at = deletion.At ?? request.Output;
        if (BlobAddress.Show(at) != BlobAddress.Show(request.Output))
        {
            LogStays(logger, PlateId, BlobAddress.Show(request.Output), "it is not where the service keeps results");
            return;
        }

        var found = layout.State.Layout;
        if (!await Task.Run(() => PlateOutput.DeleteAsync(BlobStores.Open(at), PlateId, found, ended.Token)))
            LogStays(logger, PlateId, BlobAddress.Show(request.Output), "it is not this plate's");
        if (request.SourceName?.StartsWith(UploadFolders.Source, StringComparison.Ordinal) == true)
            await GrainFactory.GetGrain<IServiceGrain>(PlateId.Split('~')[0]).DropUploadAsync(request.SourceName);
    }

    // The fields to start now: as many in flight as keep all devices busy; suspects alone, when all others have ended.
    private async Task<List<int>> NextAsync()
    {
        var pending = Enumerable.Range(0, Record.Fields.Length).Where(i => Record.Fields[i] == FieldState.Pending).ToList();
        if (pending.Count == 0 && tasks.Count == 0)
            return [];
        try
        {
            devices = (await Dispatcher.GetStatusAsync()).Devices;
            if (Record.State == PlateState.Running)   // it may have been cancelled meanwhile
                Dispatcher.SetBacklogAsync(PlateId, pending.Count + tasks.Keys.Count(field => running.GetValueOrDefault(field)?.State is null or SlideState.New or SlideState.Preparing)).Ignore();
        }
        catch (Exception e) when (e.IsTransient(ended.Token))
        {
            // A dispatcher that was lost is elsewhere in a moment.
        }

        string? why = devices > 0 ? null : "No silo with a device is in the cluster. Start one: staingrid silo --role accelerator";
        if (why != waiting)
        {
            waiting = why;
            Change();
        }

        int window = Math.Clamp(4 * devices, 4, 256);
        var innocent = pending.Where(i => Record.Trials.GetValueOrDefault(i)?.IsSuspect != true).Take(window - tasks.Count).ToList();
        return innocent.Count > 0 || tasks.Count > 0 ? innocent : [.. pending.Take(1)];
    }

    private async Task RunFieldAsync(int field, bool alone, Func<bool> current)
    {
        var slide = SlideOf(field);
        bool first = Record.Generation == 0 && !Record.Trials.ContainsKey(field);
        using var trace = Telemetry.FieldTrace(PlateId, Fields[field].Path, Record.TraceParent, first ? Record.Received : null, Record.Submitted);
        var request = new SlideRequest
        {
            Files = Fields[field].Files,
            Settings = Record.Request!.Settings with { Precision = Record.Precision },
            Output = BlobAddress.Append(Record.Request.Output, Fields[field].Path),
            PlateId = PlateId,
            Weight = Record.Request.Weight,
            KeepComplete = true,
            ModelSha256 = Record.ModelSha256,
            TraceParent = trace?.Id,
            PlateSubmitted = Record.Submitted,
        };
        var status = new SlideStatus(SlideState.New, -1, 0, 0, 0, 0, null, null);
        while (!status.IsFinal)
        {
            try
            {
                if (status.State == SlideState.New)
                    await slide.StartAsync(request);
                status = await slide.GetStatusAsync(status.Version, LongPoll).WaitAsync(ended.Token);
                running[field] = status;
                Change();
            }
            catch (SiloUnavailableException) when (current())
            {
                running.Remove(field);
                Lost(field, alone);
                return;
            }
            catch (Exception e) when (e.IsTransient(ended.Token) && current())
            {
                LogField(logger, e, PlateId, Fields[field].Path);
                status = status with { State = SlideState.New, Version = -1 };
                await Task.Delay(Beat, ended.Token);
            }
            catch (Exception e) when (!ended.IsCancellationRequested && current())
            {
                // Unexpected: no reason to leave the field running for ever.
                LogField(logger, e, PlateId, Fields[field].Path);
                status = status with { State = SlideState.Failed, Error = $"{e.GetType().Name}: {e.Message.Split('\n')[0]}" };
            }
        }

        running.Remove(field);
        tilesOfEndedFields += status.TilesDone;
        Record.BlocksRetried += status.Report?.BlocksRetried ?? 0;
        Record.SecondsWasted += status.Report?.SecondsWasted ?? 0;
        LogEnd(logger, PlateId, Fields[field].Path, status.State, status.Error);
        trace?.SetStatus(status.State == SlideState.Complete ? ActivityStatusCode.Ok : ActivityStatusCode.Error, status.Error).Dispose();
        if (status.State == SlideState.Complete)
        {
            // One that was cancelled meanwhile stays what it was told to be; a retry finds that its output is complete.
            if (Record.Fields[field] == FieldState.Running)
            {
                Telemetry.Field(FieldState.Complete, null);
                Record.Fields[field] = FieldState.Complete;
            }
        }
        else if (current() && status.Quarantined)
        {
            Fail(field, status.Error!, "quarantined");
        }
        else if (current())
        {
            await FailedAsync(field, status.Error ?? "the slide was cancelled", status.ErrorType ?? "internal");
        }

        Change();
    }

    private async Task FailedAsync(int field, string reason, string errorType)
    {
        var trials = Record.Trials.GetValueOrDefault(field, new FieldTrials(0, 0, 0));
        Record.Trials[field] = trials = trials with { Failures = trials.Failures + 1 };
        if (trials.Failures >= FieldTrials.Most)
        {
            Fail(field, reason, errorType);
            return;
        }

        await Task.Delay(Beat * (1 << trials.Failures), ended.Token);
        if (Record.Fields[field] == FieldState.Running)
            Record.Fields[field] = FieldState.Pending;
    }

    private void Lost(int field, bool alone)
    {
        var trials = Record.Trials.GetValueOrDefault(field, new FieldTrials(0, 0, 0));
        Record.Trials[field] = trials = alone ? trials with { LossesAlone = trials.LossesAlone + 1 } : trials with { Losses = trials.Losses + 1 };
        if (trials.LossesAlone >= FieldTrials.Most)
            Fail(field, $"the silo was lost {trials.LossesAlone} times while this field ran alone. Look at the image; retry the field when the cause is known.", "silo_lost");
        else
            Record.Fields[field] = FieldState.Pending;
    }

    // Lists those of the fields that are complete; all of them where the output is opened anew.
    private Task ListAsync(IReadOnlyList<int> fields)
    {
        if (output is null)
            fields = [.. Enumerable.Range(0, Record.Fields.Length)];
        return Output.AddAsync([.. fields.Where(i => Record.Fields[i] == FieldState.Complete).Select(i => Fields[i])], ended.Token);
    }

    private void Fail(int field, string reason, string errorType)
    {
        Telemetry.Field(FieldState.Failed, errorType);
        Record.Fields[field] = FieldState.Failed;
        Record.Reasons[field] = $"{Fields[field].Well}/field {Fields[field].Field}: {Record.Request!.Tell(reason)}";
    }

    private async Task EndAsync(PlateState state)
    {
        (Record.State, Record.Ended, ending) = (state, time.GetUtcNow(), true);
        try
        {
            await WriteAsync();
        }
        catch
        {
            (Record.State, Record.Ended) = (PlateState.Running, null);
            throw;
        }
        finally
        {
            ending = false;
            Change();
        }

        Dispatcher.SetBacklogAsync(PlateId, null).Ignore();
        await Index.SetAsync(Summary);
        await ForgetReminderAsync();
        DelayDeactivation(TimeSpan.FromMinutes(10));
    }

    private async Task SaveAsync()
    {
        await WriteAsync();
        Change();
    }

    private async Task WriteAsync()
    {
        await saving.WaitAsync();
        try
        {
            FieldState[] written = [.. Record.Fields];
            await plate.WriteStateAsync();
            durable = written;
        }
        finally
        {
            saving.Release();
        }
    }

    private async Task ReadAsync()
    {
        await plate.ReadStateAsync();
        durable = [.. Record.Fields];
    }

    private async Task ForgetReminderAsync()
    {
        if (await this.GetReminder(Reminder) is { } reminder)
            await this.UnregisterReminder(reminder);
    }

    private FieldStatus StatusOf(PlateField field, int index)
    {
        // A plate that was cancelled has ended, though slides of it may be on their way to their ends.
        var status = IsFinal ? null : running.GetValueOrDefault(index);
        var state = status is null ? durable.ElementAtOrDefault(index) : FieldState.Running;
        return new FieldStatus(field.Well, field.Field, field.Path, state, state == FieldState.Failed ? Record.Reasons.GetValueOrDefault(index) : null, status?.TilesDone ?? 0, status?.TilesTotal ?? 0);
    }

    // Notes for each field the version at which it was last seen to have changed. What a watcher is told at a version is what was seen at it.
    private void Compare()
    {
        if (seenVersion == version && !IsFinal)
            return;
        FieldStatus[] now = [.. Fields.Select(StatusOf)];
        int[] different = [.. Enumerable.Range(0, now.Length).Where(i => i >= seen.Length || now[i] != seen[i])];
        if (different.Length > 0 && seenVersion == version)
            version++;
        Array.Resize(ref changedAt, now.Length);
        foreach (int i in different)
            changedAt[i] = version;
        (seen, seenVersion) = (now, version);
    }

    private void Change()
    {
        version++;
        changed.Raise();
    }

    private IDispatcherGrain Dispatcher => GrainFactory.GetGrain<IDispatcherGrain>(0);

    private IPlateIndexGrain Index => GrainFactory.GetGrain<IPlateIndexGrain>(0);

    // Without the signatures that URLs may have: lists are for many eyes.
    private PlateSummary Summary => new(
        PlateId, Record.Request!.Tell(BlobAddress.Show(Record.Request.Source)), Record.Request.Tell(BlobAddress.Show(Record.Request.Output)), Record.Submitted, Record.State, Record.Request.Name)
    {
        Ended = Record.Ended,
    };

    // Every try of a field is a slide of its own; what is durable of them is the same output.
    private ISlideGrain SlideOf(int field)
    {
        var trials = Record.Trials.GetValueOrDefault(field, new FieldTrials(0, 0, 0));
        return GrainFactory.GetGrain<ISlideGrain>($"{PlateId}/{Fields[field].Path}/{Record.Generation}.{trials.Failures}{(Record.Incarnation.Length > 0 ? "." : "")}{Record.Incarnation}");
    }

    [LoggerMessage(LogLevel.Warning, "Plate {PlateId} stops for a moment.")]
    private static partial void LogRun(ILogger logger, Exception exception, string plateId);

    [LoggerMessage(LogLevel.Information, "Plate {PlateId}, field {Field}: {State} {Error}")]
    private static partial void LogEnd(ILogger logger, string plateId, string field, SlideState state, string? error);

    [LoggerMessage(LogLevel.Information, "Plate {PlateId} is deleted.")]
    private static partial void LogDeleted(ILogger logger, string plateId);

    [LoggerMessage(LogLevel.Warning, "Plate {PlateId} is being deleted and stops for a moment.")]
    private static partial void LogDeleting(ILogger logger, Exception exception, string plateId);

    [LoggerMessage(LogLevel.Warning, "Plate {PlateId} is deleted, but its result in {Output} stays: {Reason}.")]
    private static partial void LogStays(ILogger logger, string plateId, string output, string reason);

    [LoggerMessage(LogLevel.Warning, "Plate {PlateId}, field {Field}: its slide does not answer; asking again.")]
    private static partial void LogField(ILogger logger, Exception exception, string plateId, string field);
}
