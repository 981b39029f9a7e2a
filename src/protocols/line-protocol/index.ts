export {
  createLineProtocolDecoder,
  decodeLineProtocol,
  type LineProtocolDecoder,
  type LineProtocolOptions,
  lineProtocolDefaults,
} from './decode.ts'
export { type LinePrecision, linePrecision } from './precision.ts'
export { lineOf } from './write-line.ts'
