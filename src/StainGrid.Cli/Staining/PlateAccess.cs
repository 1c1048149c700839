using StainGrid.Client;
using StainGrid.Contracts;

namespace StainGrid.Cli;

/// <summary>The plates that a command works on: those of a cluster by their own ids, or a tenant's of a service.</summary>
internal abstract class PlateAccess : IAsyncDisposable
{
    /// <summary>Plates by the cluster's grains.</summary>
    /// <param name="grains">The cluster's.</param>
    /// <param name="connection">Disposed of with this; null where it is another's.</param>
    public static PlateAccess Of(GrainClient grains, IAsyncDisposable? connection = null) => new ByGrains(grains, connection);

    /// <summary>Plates of a service.</summary>
    /// <param name="client">The service's; disposed of with this.</param>
    public static PlateAccess Of(HttpStainGridClient client) => new ByHttp(client);

    public abstract Task<PlateStatus> GetAsync(string plate, CancellationToken cancellationToken);

    public abstract Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plate, CancellationToken cancellationToken);

    public abstract IAsyncEnumerable<PlateStatus> WatchAsync(string plate, CancellationToken cancellationToken);

    public abstract Task CancelAsync(string plate, CancellationToken cancellationToken);

    public abstract Task<int> RetryAsync(string plate, CancellationToken cancellationToken);

    /// <param name="plate">The plate.</param>
    /// <param name="withResult">Of a cluster's plate: whether its result goes too. A service's always does.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    public abstract Task DeleteAsync(string plate, bool withResult, CancellationToken cancellationToken);

    public abstract IAsyncEnumerable<PlateSummary> ListAsync(CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();

    private sealed class ByGrains(GrainClient grains, IAsyncDisposable? connection) : PlateAccess
    {
        public override Task<PlateStatus> GetAsync(string plate, CancellationToken cancellationToken) => grains.GetPlateAsync(plate, cancellationToken);

        public override Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plate, CancellationToken cancellationToken) => grains.GetFieldsAsync(plate, cancellationToken);

        public override IAsyncEnumerable<PlateStatus> WatchAsync(string plate, CancellationToken cancellationToken) => grains.WatchPlateAsync(plate, cancellationToken);

        public override Task CancelAsync(string plate, CancellationToken cancellationToken) => grains.CancelPlateAsync(plate, cancellationToken);

        public override Task<int> RetryAsync(string plate, CancellationToken cancellationToken) => grains.RetryPlateAsync(plate, cancellationToken);

        public override async Task DeleteAsync(string plate, bool withResult, CancellationToken cancellationToken)
        {
            var status = await grains.GetPlateAsync(plate, cancellationToken);
            await grains.DeletePlateAsync(plate, withResult, cancellationToken);   // also one that is going already
            if (status.State == PlateState.New)
                throw new PlateException($"There is no plate {plate}. See 'staingrid plate list'.");
        }

        public override async IAsyncEnumerable<PlateSummary> ListAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            foreach (var plate in await grains.ListPlatesAsync().WaitAsync(cancellationToken))
                yield return plate;
        }

        public override ValueTask DisposeAsync() => connection?.DisposeAsync() ?? ValueTask.CompletedTask;
    }

    private sealed class ByHttp(HttpStainGridClient client) : PlateAccess
    {
        public override Task<PlateStatus> GetAsync(string plate, CancellationToken cancellationToken) => client.GetAsync(plate, cancellationToken);

        public override Task<IReadOnlyList<FieldStatus>> GetFieldsAsync(string plate, CancellationToken cancellationToken) => client.GetFieldsAsync(plate, cancellationToken);

        public override IAsyncEnumerable<PlateStatus> WatchAsync(string plate, CancellationToken cancellationToken) =>
            client.WatchAsync(plate, cancellationToken: cancellationToken).Select(change => change.Status);

        public override Task CancelAsync(string plate, CancellationToken cancellationToken) => client.CancelAsync(plate, cancellationToken);

        public override Task<int> RetryAsync(string plate, CancellationToken cancellationToken) => client.RetryAsync(plate, cancellationToken);

        public override Task DeleteAsync(string plate, bool withResult, CancellationToken cancellationToken) => client.DeleteAsync(plate, cancellationToken);

        public override async IAsyncEnumerable<PlateSummary> ListAsync([System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
        {
            for (string? last = null; ;)
            {
                var page = await client.ListAsync(new PlateQuery { After = last, Limit = PlateQuery.MostPlates }, cancellationToken);
                foreach (var plate in page)
                    yield return plate;
                if (page.Count < PlateQuery.MostPlates)
                    yield break;
                last = page[^1].PlateId;
            }
        }

        public override ValueTask DisposeAsync()
        {
            client.Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
