import type { EndpointResource, Ipam, IpamConfig, Network as WireNetwork, NetworkCreateRequest } from '#api/types/network.ts';
import type { CreateNetwork } from '#engine/networks/create-request.ts';
import type { IpamPool, Network } from '#engine/networks/model.ts';
import type { NetworkUser } from '#engine/networks/service.ts';

export function toWireNetwork(network: Network, users: readonly NetworkUser[]): WireNetwork {
  const { ipam } = network;
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: network.plugin?.scope ?? 'local',
    Driver: network.driver,
    EnableIPv4: network.enableIpv4,
    EnableIPv6: network.enableIpv6,
    IPAM: {
      Driver: ipam.driver,
      Options: network.predefined ? null : { ...ipam.options },
      Config: ipam.pools.map(toWirePool),
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: false,
    ConfigFrom: { Network: network.configFrom },
    ConfigOnly: network.configOnly,
    Options: { ...network.options },
    Labels: { ...network.labels },
    Containers: Object.fromEntries(users.map(user => [user.containerId, toWireUser(user)])),
  };
}

const toWirePool = (pool: IpamPool): IpamConfig => ({
  Subnet: pool.subnet,
  ...(pool.ipRange === '' ? {} : { IPRange: pool.ipRange }),
  ...(pool.gateway === '' ? {} : { Gateway: pool.gateway }),
  ...(Object.keys(pool.auxiliaryAddresses).length === 0 ? {} : { AuxiliaryAddresses: { ...pool.auxiliaryAddresses } }),
});

const toWireUser = (user: NetworkUser): EndpointResource => ({
  Name: user.containerName,
  EndpointID: user.endpointId,
  MacAddress: user.macAddress,
  IPv4Address: user.ipv4Address,
  IPv6Address: user.ipv6Address,
});

export function fromNetworkCreate(request: NetworkCreateRequest): CreateNetwork {
  return {
    name: request.Name ?? '',
    driver: request.Driver ?? '',
    enableIpv4: request.EnableIPv4 ?? undefined,
    enableIpv6: request.EnableIPv6 ?? undefined,
    internal: request.Internal ?? false,
    attachable: request.Attachable ?? false,
    configOnly: request.ConfigOnly ?? false,
    configFrom: request.ConfigFrom?.Network ?? '',
    ipam: fromWireIpam(request.IPAM ?? {}),
    options: request.Options ?? {},
    labels: request.Labels ?? {},
  };
}

const fromWireIpam = (ipam: Ipam): CreateNetwork['ipam'] => ({
  driver: ipam.Driver ?? '',
  options: ipam.Options ?? {},
  pools: (ipam.Config ?? []).map(pool => ({
    subnet: pool.Subnet ?? '',
    ipRange: pool.IPRange ?? '',
    gateway: pool.Gateway ?? '',
    auxiliaryAddresses: pool.AuxiliaryAddresses ?? {},
  })),
});
