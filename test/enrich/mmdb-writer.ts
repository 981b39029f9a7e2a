/** A database in MaxMind's format (2.0): a binary tree of address bits with 24-bit records, then the data they point to. */

type Value = string | number | { readonly [key: string]: Value } | readonly Value[]

/** IPv4 networks (`1.2.3.0/24`) with what is known of each; the tree is one of IPv6, where IPv4 lies at ::/96. */
export function writeMmdb(networks: Readonly<Record<string, Value>>): Buffer {
  const nodes: [left: Slot, right: Slot][] = [[null, null]]
  const data: Buffer[] = []
  let dataBytes = 0
  for (const [network, value] of Object.entries(networks)) {
    const [address, length] = network.split('/') as [string, string]
    const bits = `${'0'.repeat(96)}${address
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')}`
    const bytes = encode(value)
    const pointer = { data: dataBytes }
    data.push(bytes)
    dataBytes += bytes.length
    let node = 0
    const depth = 96 + Number(length)
    for (let i = 0; i < depth; i++) {
      const side = Number(bits[i]) as 0 | 1
      if (i === depth - 1) nodes[node]![side] = pointer
      else {
        const next = nodes[node]![side]
        if (typeof next === 'number') node = next
        else {
          nodes.push([null, null])
          nodes[node]![side] = nodes.length - 1
          node = nodes.length - 1
        }
      }
    }
  }
  const tree = Buffer.alloc(nodes.length * 6)
  nodes.forEach((sides, i) => {
    sides.forEach((slot, side) => {
      const record =
        slot === null ? nodes.length : typeof slot === 'number' ? slot : nodes.length + 16 + slot.data
      tree.writeUIntBE(record, i * 6 + side * 3, 3)
    })
  })
  const metadata = encodeMap([
    ['node_count', uint(6, nodes.length)],
    ['record_size', uint(5, 24)],
    ['ip_version', uint(5, 6)],
    ['database_type', encode('Test-Country')],
    ['languages', encode([])],
    ['binary_format_major_version', uint(5, 2)],
    ['binary_format_minor_version', uint(5, 0)],
    ['build_epoch', uint(9, 1_700_000_000)],
    ['description', encode({ en: 'test' })],
  ])
  const marker = Buffer.concat([Buffer.from([0xab, 0xcd, 0xef]), Buffer.from('MaxMind.com')])
  return Buffer.concat([tree, Buffer.alloc(16), ...data, marker, metadata])
}

type Slot = number | { readonly data: number } | null

/** Type and size; types beyond 7 take a second byte. */
function control(type: number, size: number): Buffer {
  return type <= 7 ? Buffer.from([(type << 5) | size]) : Buffer.from([size, type - 7])
}

function uint(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(value, 0, 6)
  const from = bytes.findIndex((byte) => byte !== 0)
  const used = from < 0 ? Buffer.alloc(0) : bytes.subarray(from)
  return Buffer.concat([control(type, used.length), used])
}

function encode(value: Value): Buffer {
  if (typeof value === 'string')
    return Buffer.concat([control(2, Buffer.byteLength(value)), Buffer.from(value)])
  if (typeof value === 'number') return uint(6, value)
  if (Array.isArray(value)) return Buffer.concat([control(11, value.length), ...value.map(encode)])
  return encodeMap(
    Object.entries(value as { [key: string]: Value }).map(([key, entry]) => [key, encode(entry)]),
  )
}

function encodeMap(entries: readonly (readonly [string, Buffer])[]): Buffer {
  return Buffer.concat([
    control(7, entries.length),
    ...entries.flatMap(([key, value]) => [encode(key), value]),
  ])
}
