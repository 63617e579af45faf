import { boolean, integer, list, map, nullable, object, string } from '../decode.ts';
import type {
  EndpointIpamConfig,
  EndpointSettings,
  Ipam,
  IpamConfig,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkDisconnectRequest,
  NetworkingConfig,
  PortBinding,
} from '../types/network.ts';

const strings = list(string);
const options = map(string);

export const portMap = map(nullable(list(object<PortBinding>({ HostIp: string, HostPort: string }))));

const endpointSettings = object<EndpointSettings>({
  IPAMConfig: object<EndpointIpamConfig>({ IPv4Address: string, IPv6Address: string, LinkLocalIPs: strings }),
  Links: strings,
  Aliases: strings,
  MacAddress: string,
  DriverOpts: options,
  GwPriority: integer,
  NetworkID: string,
  EndpointID: string,
  Gateway: string,
  IPAddress: string,
  IPPrefixLen: integer,
  IPv6Gateway: string,
  GlobalIPv6Address: string,
  GlobalIPv6PrefixLen: integer,
  DNSNames: strings,
});

export const networkingConfig = object<NetworkingConfig>({ EndpointsConfig: map(nullable(endpointSettings)) });

const ipam = object<Ipam>({
  Driver: string,
  Options: options,
  Config: list(object<IpamConfig>({ Subnet: string, IPRange: string, Gateway: string, AuxiliaryAddresses: options })),
});

export const networkCreateRequest = object<NetworkCreateRequest>({
  Name: string,
  Driver: string,
  Scope: string,
  EnableIPv4: boolean,
  EnableIPv6: boolean,
  IPAM: ipam,
  Internal: boolean,
  Attachable: boolean,
  Ingress: boolean,
  ConfigOnly: boolean,
  ConfigFrom: object<NonNullable<NetworkCreateRequest['ConfigFrom']>>({ Network: string }),
  Options: options,
  Labels: options,
  CheckDuplicate: boolean,
});

export const networkConnectRequest = object<NetworkConnectRequest>({ Container: string, EndpointConfig: endpointSettings });
export const networkDisconnectRequest = object<NetworkDisconnectRequest>({ Container: string, Force: boolean });
