using Orleans.Runtime.Messaging;
using StainGrid.Contracts;

namespace StainGrid.Grains.Tests;

public class TransientErrorsTests
{
    public static TheoryData<Exception> OfOrleans => [
        new SiloUnavailableException(), new ConnectionFailedException(), new TimeoutException(), new TaskCanceledException(),
        new OperationCanceledException(),
    ];

    [Theory, MemberData(nameof(OfOrleans), DisableDiscoveryEnumeration = true)]
    public void What_Orleans_says_of_lost_silos_is_asked_again(Exception error) => Assert.True(error.IsTransient(CancellationToken.None));

    // Its constructors are Orleans' own.
    [Fact]
    public void What_Orleans_says_of_refused_messages_is_one_of_these() =>
        Assert.True(typeof(OrleansMessageRejectionException).IsSubclassOf(typeof(OrleansException)));

    [Fact]
    public void What_the_caller_cancelled_is_not_asked_again()
    {
        using var cancellation = new CancellationTokenSource();
        var stop = cancellation.Token;
        Assert.True(new OperationCanceledException().IsTransient(stop));
        cancellation.Cancel();
        Assert.False(new OperationCanceledException().IsTransient(stop));
        Assert.True(new TimeoutException().IsTransient(stop));
    }

    [Fact]
    public void What_was_refused_is_not_asked_again()
    {
        Assert.False(new PlateException("no").IsTransient(CancellationToken.None));
        Assert.False(new InvalidOperationException().IsTransient(CancellationToken.None));
    }
}
