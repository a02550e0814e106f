/** The page: what each rank is worth, and what it costs, live. */
import { render } from 'preact'
import 'uplot/dist/uPlot.min.css'
import './style.css'
import { App } from './app.tsx'

const root = document.getElementById('page')
if (root !== null) render(<App />, root)
