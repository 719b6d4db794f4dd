import { createRequire } from 'node:module';
import type * as Grpc from '@grpc/grpc-js';
import type * as Any from 'google-protobuf/google/protobuf/any_pb.js';
import type * as Empty from 'google-protobuf/google/protobuf/empty_pb.js';

/** The client's own copies of these packages: its serializers reject messages made by another copy. */
const require = createRequire(createRequire(import.meta.url).resolve('@eventstore/db-client'));

export const grpc: typeof Grpc = require('@grpc/grpc-js');
export const { Any: AnyMessage }: typeof Any = require('google-protobuf/google/protobuf/any_pb.js');
export const { Empty: GoogleEmpty }: typeof Empty = require('google-protobuf/google/protobuf/empty_pb.js');

export { GossipService } from '@eventstore/db-client/generated/gossip_grpc_pb.js';
export { default as gossip } from '@eventstore/db-client/generated/gossip_pb.js';
export { ServerFeaturesService } from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
export { default as features } from '@eventstore/db-client/generated/serverfeatures_pb.js';
export { default as shared } from '@eventstore/db-client/generated/shared_pb.js';
export { default as status } from '@eventstore/db-client/generated/status_pb.js';
export { StreamsService } from '@eventstore/db-client/generated/streams_grpc_pb.js';
export { default as streams } from '@eventstore/db-client/generated/streams_pb.js';
