"""`python -m r2s_deploy.pose`, where OpenCV is missing too."""

import sys

from r2s_deploy.errors import DeployError

if __name__ == "__main__":
    try:
        from r2s_deploy.pose.commands import main
    except DeployError as error:
        sys.exit(f"error: {error}")
    sys.exit(main())
