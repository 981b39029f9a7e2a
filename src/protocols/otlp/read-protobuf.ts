import { ProtobufFault, ProtobufReader } from '../wire/protobuf.ts'
import { EncodingFault, TextCache } from '../wire/text-cache.ts'
import { type Budget, type Field, type Message, MessageFault, maxDepth, type Read } from './message.ts'

/** @throws MessageFault, TidemarkError TM_LIMIT */
export function readProtobuf(bytes: Buffer, kind: Message, budget: Budget): Read {
  const reader = new ProtobufReader(bytes)
  const texts = new TextCache()
  try {
    return readMessage(reader, kind, texts, budget, 0)
  } catch (fault) {
    if (fault instanceof ProtobufFault) throw new MessageFault(fault.problem)
    if (fault instanceof EncodingFault) throw new MessageFault(`a text (field ${reader.field}) is not UTF-8`)
    throw fault
  }
}

function readMessage(
  reader: ProtobufReader,
  kind: Message,
  texts: TextCache,
  budget: Budget,
  depth: number,
): Read {
  if (depth > maxDepth) throw new MessageFault(`messages nest deeper than ${maxDepth}`)
  budget.take()
  const out: Record<string, unknown> = {}
  while (reader.next()) {
    const field = kind.byNumber.get(reader.field)
    if (field === undefined) reader.skip()
    else if (field.isRepeated) {
      const list = (out[field.name] as unknown[] | undefined) ?? []
      out[field.name] = list
      if (!readPacked(reader, field, list, budget)) list.push(readValue(reader, field, texts, budget, depth))
    } else out[field.name] = readValue(reader, field, texts, budget, depth)
  }
  return out
}

/** Numbers that are repeated come packed. */
function readPacked(reader: ProtobufReader, field: Field, into: unknown[], budget: Budget): boolean {
  const add = (value: unknown): void => {
    budget.take()
    into.push(value)
  }
  switch (field.kind) {
    case 'double':
      reader.packed64((at) => add(reader.bytes.readDoubleLE(at)))
      return true
    case 'fixed64':
      reader.packed64((at) => add(reader.bytes.readBigUInt64LE(at)))
      return true
    case 'int64':
      reader.packedVarints(add)
      return true
    default:
      return false
  }
}

function readValue(
  reader: ProtobufReader,
  field: Field,
  texts: TextCache,
  budget: Budget,
  depth: number,
): unknown {
  const { kind } = field
  switch (kind) {
    case 'string': {
      const from = reader.span()
      return texts.text(reader.bytes, from, reader.at)
    }
    case 'id': {
      const from = reader.span()
      return reader.bytes.toString('hex', from, reader.at)
    }
    case 'bytes': {
      const from = reader.span()
      return reader.bytes.toString('base64', from, reader.at)
    }
    case 'bool':
      return reader.uint64() !== 0n
    case 'int64':
      return reader.int64()
    case 'fixed64':
      return reader.fixed64()
    case 'sfixed64':
      return reader.sfixed64()
    case 'double':
      return reader.double()
    case 'uint32':
      return Number(BigInt.asUintN(32, reader.uint64()))
    case 'sint32':
      return Number(BigInt.asIntN(32, reader.sint64()))
    default: {
      const outer = reader.enter()
      const value = readMessage(reader, kind, texts, budget, depth + 1)
      reader.leave(outer)
      return value
    }
  }
}
