export {
  type Decoded,
  defaultMaxProblems,
  type FieldValue,
  type Point,
  type ProtocolProblem,
  type ProtocolReason,
  protocolReasons,
} from './contract.ts'
export {
  createLineProtocolDecoder,
  decodeLineProtocol,
  type LinePrecision,
  type LineProtocolDecoder,
  type LineProtocolOptions,
  linePrecision,
  lineProtocolDefaults,
} from './line-protocol/index.ts'
export {
  decodeRemoteWrite,
  decodeWriteRequest,
  type RemoteWrite,
  type RemoteWriteOptions,
  remoteWriteDefaults,
  type Sample,
} from './prometheus/index.ts'
