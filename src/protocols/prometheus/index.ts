export {
  decodeRemoteWrite,
  decodeWriteRequest,
  type RemoteWrite,
  type RemoteWriteOptions,
  remoteWriteDefaults,
  type Sample,
} from './decode.ts'
