import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App, fetchPages } from './app.tsx'
import './ui/tokens.css'
import './ui/base.css'

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
addEventListener('load', () => setTimeout(fetchPages, 1000))
