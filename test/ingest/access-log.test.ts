import { describe, expect, it } from 'vitest'
import { accessLogFields, accessLogReader, isAccessLogLine } from '../../src/ingest/access-log-reader.ts'

function read(line: string): Record<string, unknown> | string {
  let answer: Record<string, unknown> | string = 'nothing'
  const reader = accessLogReader(10_000, {
    record(fields) {
      answer = Object.fromEntries(accessLogFields.map((name, i) => [name, fields[i]]))
    },
    bad(reason, { message }) {
      answer = `${reason}: ${message}`
    },
  })
  reader.push({ text: line, form: 'text' })
  reader.end()
  return answer
}

const start = '1.2.3.4 - alice [17/May/2015:10:05:03 +0000]'

describe('access logs', () => {
  it('of the combined form', () => {
    expect(read(`${start} "GET /a?b=c HTTP/1.1" 200 203 "http://x/" "Mozilla/5.0 (X11)"\r\n`)).toEqual({
      host: '1.2.3.4',
      ident: null,
      user: 'alice',
      time: '17/May/2015:10:05:03 +0000',
      request: 'GET /a?b=c HTTP/1.1',
      method: 'GET',
      path: '/a?b=c',
      protocol: 'HTTP/1.1',
      status: '200',
      bytes: '203',
      referer: 'http://x/',
      user_agent: 'Mozilla/5.0 (X11)',
    })
  })

  it('of the common form, with dashes for what is not there', () => {
    expect(read(`::1 - - [17/May/2015:10:05:03 +0000] "-" 408 -`)).toMatchObject({
      host: '::1',
      user: null,
      request: null,
      method: null,
      path: null,
      bytes: null,
      referer: null,
      user_agent: null,
    })
  })

  it('with quotes inside quotes, as Apache and as NGINX write them', () => {
    expect(read(`${start} "GET /\\"x\\" HTTP/1.1" 200 1 "-" "a \\x22b\\x22"`)).toMatchObject({
      path: '/"x"',
      user_agent: 'a "b"',
    })
  })

  it('with a space in the path and without a protocol', () => {
    expect(read(`${start} "GET /a b HTTP/1.0" 404 1 "-" "-"`)).toMatchObject({ path: '/a b' })
    expect(read(`${start} "GET /old" 200 1 "-" "-"`)).toMatchObject({ path: '/old', protocol: null })
  })

  it('with bytes of another protocol as request', () => {
    expect(read(`${start} "\\x16\\x03\\x01" 400 226 "-" "-"`)).toMatchObject({ method: null, status: '400' })
  })

  it('that are broken say how', () => {
    expect(read(`${start} "GET / HTTP/1.1" 200 1 "-" "open`)).toMatch(/^log_line: .*quote is not closed/)
    expect(read('something else')).toBe('log_line: the line does not have the form of the combined log')
    expect(isAccessLogLine('a,b,c')).toBe(false)
  })

  it('that are hostile take no longer than others', () => {
    const before = process.cpuUsage()
    for (const piece of ['\\"', '" "', '[', ' ', 'a b ']) read(`${start} "${piece.repeat(3000)}`)
    // of the processor, in microseconds: whatever else the machine does
    expect(process.cpuUsage(before).user).toBeLessThan(5_000_000)
  })
})
