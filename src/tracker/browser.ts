/**
 * The parts of a browser that the tracker uses. Written down here rather than taken from TypeScript's DOM library, which
 * would give `window` and `document` to the whole server as well; test/tracker/browser-types.test.ts proves that a
 * browser's own types have this shape.
 */

export interface BrowserStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

export interface BrowserResponse {
  readonly ok: boolean
  readonly status: number
  readonly headers: { get(name: string): string | null }
}

type Listener = (event: { readonly persisted?: boolean }) => void

export interface Browser {
  readonly addEventListener: (type: string, listener: Listener, useCapture?: boolean) => void
  readonly localStorage: BrowserStorage
  readonly location: {
    readonly href: string
    readonly search: string
  }
  readonly history: {
    pushState(data: unknown, unused: string, url?: string | null): void
    replaceState(data: unknown, unused: string, url?: string | null): void
  }
  readonly document: {
    readonly referrer: string
    readonly title: string
    readonly visibilityState: string
    readonly prerendering?: boolean
    readonly addEventListener: (type: string, listener: Listener, useCapture?: boolean) => void
  }
  readonly navigator: {
    readonly language: string
    readonly doNotTrack?: string | null
    readonly globalPrivacyControl?: boolean
    readonly sendBeacon?: (url: string, body: string) => boolean
    readonly locks?: {
      request(name: string, work: () => Promise<void>): Promise<unknown>
    }
  }
  readonly screen: { readonly width: number; readonly height: number }
  readonly innerWidth: number
  readonly innerHeight: number
  readonly fetch: (
    url: string,
    init: {
      readonly method: string
      readonly body: string
      readonly keepalive: boolean
      readonly signal: AbortSignal | undefined
    },
  ) => Promise<BrowserResponse>
}
