import { LineSplitter } from './line-splitter.ts'
import type { RecordSink } from './record-sink.ts'

/** The fields of the combined log of Apache and NGINX, in order. `-` is null. */
export const accessLogFields = [
  'host',
  'ident',
  'user',
  'time',
  'request',
  'method',
  'path',
  'protocol',
  'status',
  'bytes',
  'referer',
  'user_agent',
] as const

/** Other names under which people declare these columns. */
export const accessLogAliases: Readonly<Record<string, (typeof accessLogFields)[number]>> = {
  ip: 'host',
  client: 'host',
  client_ip: 'host',
  remote_addr: 'host',
  remote_host: 'host',
  remote_user: 'user',
  time_local: 'time',
  timestamp: 'time',
  url: 'path',
  uri: 'path',
  status_code: 'status',
  size: 'bytes',
  body_bytes_sent: 'bytes',
  bytes_sent: 'bytes',
  referrer: 'referer',
  http_referer: 'referer',
  agent: 'user_agent',
  http_user_agent: 'user_agent',
}

// inside quotes both servers write " as \" (Apache) or \x22 (NGINX)
const quoted = '"((?:[^"\\\\]|\\\\.)*)"'
const combined = new RegExp(
  `^(\\S+) (\\S+) (.+?) \\[([^\\]]+)\\] ${quoted} (\\d{3}|-) (\\d+|-)(?: ${quoted} ${quoted})?\\s*$`,
)

export function isAccessLogLine(line: string): boolean {
  return combined.test(line)
}

/** The combined log, and the common log, which ends before the referer. */
export function accessLogReader(maxRecordBytes: number, sink: RecordSink): LineSplitter {
  return new LineSplitter(maxRecordBytes, sink, (source, line, text, from, to) => {
    const match = combined.exec(source)
    if (!match) {
      const quotes = source.split('"').length - 1
      const message =
        quotes % 2 === 1
          ? 'the line does not have the form of the combined log: a quote is not closed'
          : 'the line does not have the form of the combined log'
      sink.bad('log_line', { message, field: null, value: null }, line, text, from, to)
      return
    }
    const request = unescapeQuotes(match[5]!)
    const parts = request.split(' ')
    // what is no request ("-", bytes of another protocol) still has a request text, but no method and path
    const isRequest = parts.length >= 2 && /^[A-Z]+$/.test(parts[0]!)
    const last = parts[parts.length - 1]!
    const hasProtocol = isRequest && parts.length >= 3 && last.startsWith('HTTP/')
    sink.record(
      [
        match[1],
        dash(match[2]),
        dash(match[3]),
        match[4],
        dash(request),
        isRequest ? parts[0] : null,
        isRequest ? parts.slice(1, hasProtocol ? -1 : undefined).join(' ') : null,
        hasProtocol ? last : null,
        dash(match[6]),
        dash(match[7]),
        dash(match[8] === undefined ? undefined : unescapeQuotes(match[8])),
        dash(match[9] === undefined ? undefined : unescapeQuotes(match[9])),
      ],
      line,
      text,
      from,
      to,
    )
  })
}

function dash(text: string | undefined): string | null {
  return text === undefined || text === '-' ? null : text
}

function unescapeQuotes(text: string): string {
  return text.includes('\\') ? text.replace(/\\(["\\])/g, '$1').replaceAll('\\x22', '"') : text
}
