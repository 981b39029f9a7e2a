import { useVirtualizer } from '@tanstack/react-virtual'
import { type KeyboardEvent, type ReactNode, useMemo, useRef, useState } from 'react'
import { Icon } from './icon.tsx'
import styles from './table.module.css'

export interface Column<Row> {
  readonly id: string
  readonly title: string
  readonly align?: 'left' | 'right'
  cell(row: Row): ReactNode
  /** With it the column can be sorted. */
  sortBy?(row: Row): number | string | bigint | null
  /** Of CSS: `12rem`. */
  readonly width?: string
}

export interface Sort {
  readonly column: string
  readonly isDescending: boolean
}

export interface TableProps<Row> {
  /** What it shows, for screen readers; shown with `showCaption`. */
  readonly caption: string
  readonly showCaption?: boolean
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  keyOf(row: Row): string
  /** Where the caller sorts (over more rows than are here). */
  readonly sort?: Sort | null
  onSort?(sort: Sort): void
  readonly empty?: ReactNode
  /** Of CSS; default: as many as there are, and 70vh where they are many. */
  readonly maxHeight?: string
  onRow?(row: Row): void
  isSelected?(row: Row): boolean
}

const manyRows = 200
const rowHeight = 33

/** Rows and columns. Beyond 200 rows only those in sight are drawn. */
export function Table<Row>(props: TableProps<Row>): ReactNode {
  const { caption, showCaption, columns, rows, keyOf, empty, onRow, isSelected } = props
  const [own, setOwn] = useState<Sort | null>(null)
  const sort = props.sort === undefined ? own : props.sort
  const shown = useMemo(() => {
    const by = columns.find(({ id }) => id === sort?.column)?.sortBy
    if (props.onSort !== undefined || by === undefined || sort === null) return rows
    return rows
      .map((row, at) => ({ row, at, value: by(row) }))
      .sort((a, b) => (sort.isDescending ? -1 : 1) * compare(a.value, b.value) || a.at - b.at)
      .map(({ row }) => row)
  }, [rows, columns, sort, props.onSort])
  const scroller = useRef<HTMLElement>(null)
  const isVirtual = shown.length > manyRows
  const virtual = useVirtualizer({
    count: isVirtual ? shown.length : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  })
  const items = virtual.getVirtualItems()
  const first = isVirtual ? (items[0]?.index ?? 0) : 0
  const last = isVirtual ? (items.at(-1)?.index ?? 40) : shown.length - 1
  const before = isVirtual ? (items[0]?.start ?? 0) : 0
  const after = isVirtual ? virtual.getTotalSize() - (items.at(-1)?.end ?? 0) : 0
  const sortOn = (column: Column<Row>): void => {
    const next = {
      column: column.id,
      isDescending: sort?.column === column.id ? !sort.isDescending : column.align === 'right',
    }
    if (props.onSort) props.onSort(next)
    else setOwn(next)
  }
  const onRowKey = (event: KeyboardEvent<HTMLTableRowElement>, row: Row): void => {
    if (event.target !== event.currentTarget) return
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault()
      onRow?.(row)
    }
    const sibling = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' } as const
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      const next = event.currentTarget[sibling[event.key]]
      if (next instanceof HTMLElement && next.tabIndex === 0) {
        event.preventDefault()
        next.focus()
      }
    }
  }
  return (
    <section
      ref={scroller}
      className={styles['scroller']}
      style={{ maxHeight: props.maxHeight ?? (isVirtual ? '70vh' : undefined) }}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
      tabIndex={0}
      aria-label={caption}
    >
      <table className={styles['table']} aria-rowcount={shown.length + 1}>
        <caption className={showCaption ? styles['caption'] : 'visually-hidden'}>{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                data-align={column.align}
                style={{ width: column.width }}
                aria-sort={
                  sort?.column !== column.id ? undefined : sort.isDescending ? 'descending' : 'ascending'
                }
              >
                {column.sortBy || props.onSort ? (
                  <button type="button" className={styles['sort']} onClick={() => sortOn(column)}>
                    {column.title}
                    <span className={styles['mark']} data-on={sort?.column === column.id || undefined}>
                      <Icon
                        name={sort?.column === column.id && !sort.isDescending ? 'up' : 'chevron'}
                        size={14}
                      />
                    </span>
                  </button>
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {before > 0 && <Gap height={before} columns={columns.length} />}
          {shown.slice(first, last + 1).map((row, i) => (
            <tr
              key={keyOf(row)}
              aria-rowindex={isVirtual ? first + i + 2 : undefined}
              aria-selected={isSelected?.(row) || undefined}
              data-can={onRow !== undefined || undefined}
              tabIndex={onRow === undefined ? undefined : 0}
              onClick={onRow === undefined ? undefined : () => onRow(row)}
              onKeyDown={onRow === undefined ? undefined : (event) => onRowKey(event, row)}
            >
              {columns.map((column) => (
                <td key={column.id} data-align={column.align}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {after > 0 && <Gap height={after} columns={columns.length} />}
          {shown.length === 0 && (
            <tr>
              <td colSpan={columns.length} className={styles['empty']}>
                {empty ?? 'Nothing here.'}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </section>
  )
}

/** In place of the rows that are not in sight. */
function Gap({ height, columns }: { readonly height: number; readonly columns: number }): ReactNode {
  return (
    <tr>
      <td colSpan={columns} style={{ height, padding: 0, border: 0 }} />
    </tr>
  )
}

/** Nothing is last, whichever way. */
function compare(a: number | string | bigint | null, b: number | string | bigint | null): number {
  if (a === b) return 0
  if (a === null) return -1
  if (b === null) return 1
  if (typeof a === 'string' && typeof b === 'string') return a.localeCompare(b, undefined, { numeric: true })
  return a < b ? -1 : a > b ? 1 : 0
}
