export { Button, type ButtonProps, IconButton } from './button.tsx'
export { Code, CopyButton } from './code.tsx'
export { Combobox, type ComboboxOption } from './combobox.tsx'
export { Confirm, Dialog } from './dialog.tsx'
export { Checkbox, Field, Select, TextArea, TextField } from './field.tsx'
export { Icon, type IconName } from './icon.tsx'
export { Menu, type MenuItem } from './menu.tsx'
export { Card, PageHeader } from './page.tsx'
export { type Popover, usePopover } from './popover.ts'
export { Empty, ErrorBox, Query, Skeleton } from './states.tsx'
export { type Column, type Sort, Table } from './table.tsx'
export { Tabs } from './tabs.tsx'
export {
  Badge,
  Progress,
  Quantity,
  quantityText,
  Sparkline,
  Stat,
  Time,
  type Tone,
  type Unit,
} from './values.tsx'
