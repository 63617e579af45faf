import { Builds } from './builds.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { Containers } from './containers.ts';
import { Execs } from './exec.ts';
import { Images } from './images.ts';
import { Networks } from './networks.ts';
import { System } from './system.ts';
import { Volumes } from './volumes.ts';

/** The Engine API of one daemon, a noun at a time. */
export class Client {
  readonly connection: Connection;
  readonly builds: Builds;
  readonly containers: Containers;
  readonly execs: Execs;
  readonly images: Images;
  readonly networks: Networks;
  readonly volumes: Volumes;
  readonly system: System;

  constructor(options: ConnectionOptions) {
    this.connection = new Connection(options);
    this.builds = new Builds(this.connection);
    this.containers = new Containers(this.connection);
    this.execs = new Execs(this.connection);
    this.images = new Images(this.connection);
    this.networks = new Networks(this.connection);
    this.volumes = new Volumes(this.connection);
    this.system = new System(this.connection);
  }

  close(): void {
    this.connection.close();
  }
}
