from corpusvec.pipeline.cli import main

raise SystemExit(main())
