import { useEffect } from 'react'

/** What the window is called: `Storage · Tidemark`. */
export function useTitle(text: string): void {
  useEffect(() => {
    document.title = text === '' ? 'Tidemark' : `${text} · Tidemark`
  }, [text])
}
