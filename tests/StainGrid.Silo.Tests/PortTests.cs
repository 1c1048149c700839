using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using StainGrid.TestSupport;

namespace StainGrid.Silo.Tests;

/// <summary>The ports that silos find for themselves.</summary>
public sealed class PortTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_free_port_that_another_program_takes_meanwhile_is_another_at_the_next_try(bool silosPort)
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        int taken = ((IPEndPoint)other.LocalEndpoint).Port;
        var tried = new List<(int Silo, int Gateway)>();
        using var host = await SiloHost.StartAsync(0, 0, Build, Stop);
        Assert.Equal(2, tried.Count);
        Assert.NotEqual(tried[0], tried[1]);
        Assert.Equal(tried[1].Silo, host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.Endpoint.Port);
        await host.StopAsync(Stop);

        IHost Build(int silo, int gateway)
        {
            tried.Add((silo, gateway));
            return tried.Count > 1 ? Silo(silo, gateway) : silosPort ? Silo(taken, gateway) : Silo(silo, taken);
        }
    }

    [Fact]
    public async Task A_port_that_was_given_stays_where_the_other_is_found_again()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        int given = FreePort.Next();
        var tried = new List<(int Silo, int Gateway)>();
        using var host = await SiloHost.StartAsync(given, 0, Build, Stop);
        Assert.Equal([given, given], tried.Select(ports => ports.Silo));
        Assert.Equal(given, host.Services.GetRequiredService<ILocalSiloDetails>().SiloAddress.Endpoint.Port);
        await host.StopAsync(Stop);

        IHost Build(int silo, int gateway)
        {
            tried.Add((silo, gateway));
            return Silo(silo, tried.Count > 1 ? gateway : ((IPEndPoint)other.LocalEndpoint).Port);
        }
    }

    [Fact]
    public async Task A_port_that_was_given_is_tried_once()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        int tries = 0;
        await Assert.ThrowsAsync<AddressInUseException>(() => SiloHost.StartAsync(((IPEndPoint)other.LocalEndpoint).Port, FreePort.Next(), Build, Stop));
        Assert.Equal(1, tries);

        IHost Build(int silo, int gateway)
        {
            tries++;
            return Silo(silo, gateway);
        }
    }

    private static IHost Silo(int silo, int gateway)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleans(host => host.UseLocalhostClustering(silo, gateway, serviceId: "staingrid", clusterId: Guid.NewGuid().ToString("n")));
        return builder.Build();
    }
}
