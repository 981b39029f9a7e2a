import type { ReactNode } from 'react'

/** 24 x 24, stroked. */
const paths = {
  explore: 'M4 19h16M6 15l4-5 4 3 5-7',
  boards: 'M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z',
  storage:
    'M4 6c0-1.700 3.600-3 8-3s8 1.300 8 3-3.600 3-8 3-8-1.300-8-3zM4 6v6c0 1.700 3.600 3 8 3s8-1.300 8-3V6M4 12v6c0 1.700 3.600 3 8 3s8-1.300 8-3v-6',
  aggregates: 'M12 3l9 5-9 5-9-5zM3 12.500l9 5 9-5M3 17l9 5 9-5',
  jobs: 'M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  letters: 'M3 6h18v12H3zM3 7l9 6 9-6',
  keys: 'M14.500 9.500a4.500 4.500 0 1 0-4.200 4.500L12 16h2v2h2v2h4v-3.500l-5.700-5.700c.1-.4.2-.9.2-1.300zM8.500 8.500h.01',
  audit: 'M6 3h9l4 4v14H6zM14 3v5h5M9 12h7M9 16h7',
  health: 'M3 12h4l3-7 4 14 3-7h4',
  close: 'M6 6l12 12M18 6L6 18',
  menu: 'M4 7h16M4 12h16M4 17h16',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l5 5',
  chevron: 'M7 10l5 5 5-5',
  right: 'M10 7l5 5-5 5',
  left: 'M14 7l-5 5 5 5',
  up: 'M7 14l5-5 5 5',
  plus: 'M12 5v14M5 12h14',
  check: 'M5 13l4 4L19 7',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  refresh: 'M20 12a8 8 0 1 1-2.300-5.700M20 3v4h-4',
  warning: 'M12 4l9 16H3zM12 10v4M12 17h.01',
  info: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5M12 8h.01',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  share: 'M12 3v12M8 7l4-4 4 4M5 12v8h14v-8',
  edit: 'M4 20h4L19 9l-4-4L4 16zM13 7l4 4',
  trash: 'M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13M10 11v5M14 11v5',
  expand: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  live: 'M12 12h.01M8 8a5.600 5.600 0 0 0 0 8M16 8a5.600 5.600 0 0 1 0 8M5 5a10 10 0 0 0 0 14M19 5a10 10 0 0 1 0 14',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400',
  moon: 'M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z',
  clock: 'M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  play: 'M8 5l11 7-11 7z',
  stop: 'M7 7h10v10H7z',
  filter: 'M4 5h16l-6 8v6l-4-2v-4z',
  back: 'M9 7l-5 5 5 5M4 12h11a5 5 0 0 1 5 5v1',
  out: 'M14 4h6v16h-6M4 12h11M11 8l4 4-4 4',
} as const

export type IconName = keyof typeof paths

/** Beside a word, never in place of one: whoever cannot see it misses nothing. */
export function Icon({ name, size = 18 }: { readonly name: IconName; readonly size?: number }): ReactNode {
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
      style={{ flex: 'none' }}
    >
      <path d={paths[name]} />
    </svg>
  )
}
